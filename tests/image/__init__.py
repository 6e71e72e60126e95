"""The image, built from the unmodified Dockerfile and run with real servers: `make image-test`."""
