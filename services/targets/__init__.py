"""Where releases are deployed: this machine, a Kubernetes cluster or object storage."""
