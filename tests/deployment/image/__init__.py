"""The image built and run in containers: with this machine's engine, or with podman in a Debian that is made for it."""
