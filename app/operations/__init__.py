"""What operators and tools read: health, readiness, metrics and the API document."""
