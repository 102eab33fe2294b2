"""The way from params.yaml to a finished run: the bridge to DVC, the Prefect flow and the command line."""
