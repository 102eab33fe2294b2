"""The command line, the Prefect flows, and the DVC stages that they run."""
