"""Targets against the protocols of Kubernetes and S3, on loopback."""
