"""What has to hold whatever fails, judged without any code of the service."""
