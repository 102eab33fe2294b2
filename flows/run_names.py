"""Names of flow runs, which say what ran and when."""

from prefect.runtime import flow_run


def flow_and_time() -> str:
    """The flow's name and the run's scheduled start in UTC, such as monitor-20260301-080000."""
    return f"{flow_run.flow_name}-{flow_run.scheduled_start_time:%Y%m%d-%H%M%S}"
