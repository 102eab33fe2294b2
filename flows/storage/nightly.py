"""The flow `clean`, which keeps the project's disk from filling."""

from pathlib import Path

from prefect import flow

from flows.liveness import send_heartbeats
from flows.run_names import flow_and_time
from flows.storage import clean_project
from tierrec_core.base.paths import Layout


@flow(name="clean", flow_run_name=flow_and_time, log_prints=True, on_running=[send_heartbeats])
def clean() -> None:
    """Delete what no release and no current output needs."""
    number, size = clean_project(Layout(Path.cwd()))
    print(f"DVC's cache: {number:,} objects of {size:,} bytes deleted")  # noqa: T201
