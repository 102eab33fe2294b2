"""Health checks of the parts: the server answers, workers send heartbeats, the service is ready."""

from datetime import UTC, datetime, timedelta

import httpx

from flows.stack.plan import SERVER, SERVICE, worker_name
from flows.stack.state import StackState

_SECONDS = 3.0
_MAX_HEARTBEAT_AGE = timedelta(seconds=35)  # three heartbeats and some tolerance


def is_ready(part: str, state: StackState, since: float) -> bool:
    """Whether a part that was started at `since` (seconds since 1970) works."""
    try:
        if part == SERVER:
            return httpx.get(f"{state.api_url}/health", timeout=_SECONDS).json() is True
        if part == SERVICE:
            return httpx.get(f"{state.service_url}/readyz", timeout=_SECONDS).status_code == httpx.codes.OK
        heartbeat = _last_heartbeat(state.api_url, part)
    except (httpx.HTTPError, ValueError):
        return False
    if heartbeat is None:
        return False
    return heartbeat.timestamp() >= since and datetime.now(UTC) - heartbeat < _MAX_HEARTBEAT_AGE


def _last_heartbeat(api_url: str, pool: str) -> datetime | None:
    response = httpx.post(f"{api_url}/work_pools/{pool}/workers/filter", json={}, timeout=_SECONDS)
    if response.status_code != httpx.codes.OK:
        return None
    times = [worker["last_heartbeat_time"] for worker in response.json() if worker["name"] == worker_name(pool)]
    return max((datetime.fromisoformat(time) for time in times if time), default=None)
