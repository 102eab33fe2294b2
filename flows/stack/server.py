"""Requests to the parts of a stack: whether they are ready, and which flow runs ended with the stack."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from flows.stack.plan import POOLS, SERVER, SERVICE, StackOptions, worker_name

_READY_SECONDS, _QUERY_SECONDS, _PAGE = 3.0, 10.0, 200
_MAX_HEARTBEAT_AGE = timedelta(seconds=35)  # three heartbeats and some tolerance
_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]


def is_ready(part: str, options: StackOptions, since: float) -> bool:
    """Whether a part that was started at `since` (seconds since 1970) works."""
    try:
        if part == SERVER:
            return httpx.get(f"{options.api_url}/health", timeout=_READY_SECONDS).json() is True
        if part == SERVICE:
            return httpx.get(f"{options.service_url}/readyz", timeout=_READY_SECONDS).status_code == httpx.codes.OK
        heartbeat = _last_heartbeat(options.api_url, part)
    except (httpx.HTTPError, ValueError):
        return False
    if heartbeat is None:
        return False
    return heartbeat.timestamp() >= since and datetime.now(UTC) - heartbeat < _MAX_HEARTBEAT_AGE


def _last_heartbeat(api_url: str, pool: str) -> datetime | None:
    response = httpx.post(f"{api_url}/work_pools/{pool}/workers/filter", json={}, timeout=_READY_SECONDS)
    if response.status_code != httpx.codes.OK:
        return None
    times = [worker["last_heartbeat_time"] for worker in response.json() if worker["name"] == worker_name(pool)]
    return max((datetime.fromisoformat(time) for time in times if time), default=None)


def crash_unfinished_runs(api_url: str) -> list[str]:
    """End all unfinished runs of this stack's workers, which frees their concurrency slots; returns their names.

    Their processes must have ended. Does nothing when the server does not answer: the next `up` tries again.
    """
    query = {"flow_runs": {"state": {"type": {"any_": _UNFINISHED}}}, "limit": _PAGE}
    workers = {worker_name(pool) for pool in POOLS}
    try:
        with httpx.Client(base_url=api_url, timeout=_QUERY_SECONDS) as client:
            runs = client.post("flow_runs/filter", json=query).raise_for_status().json()
            unfinished = [run for run in runs if run.get("labels", {}).get("prefect.worker.name") in workers]
            return [str(run["name"]) for run in unfinished if _end(client, run)]
    except (httpx.HTTPError, ValueError):
        return []


def _end(client: httpx.Client, run: dict[str, Any]) -> bool:
    """Whether the server marked the run as ended; it rejects this for a run that ended by itself."""
    kind = "CANCELLED" if run["state"]["type"] == "CANCELLING" else "CRASHED"
    state = {"type": kind, "message": "its process was ended with the stack"}
    answer = client.post(f"flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return bool(answer.json()["status"] == "ACCEPT")
