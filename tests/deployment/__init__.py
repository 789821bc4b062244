"""Tests of what ships and runs the service: the image, the manifests and the workflows."""
