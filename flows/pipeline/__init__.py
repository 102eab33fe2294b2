"""The flow `train`, which runs the stale stages of dvc.yaml."""
