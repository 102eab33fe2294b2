"""Whether the parts do their work: the server answers, workers ask it for runs, the service is ready."""

from datetime import UTC, datetime, timedelta

import httpx

from flows.stack.plan import SERVER, SERVICE, worker_name
from flows.stack.state import StackState

_SECONDS = 3.0
_ALIVE = timedelta(seconds=35)  # three heartbeats and a bit


def is_ready(part: str, state: StackState, since: float) -> bool:
    """Whether a part that was started at `since` (seconds since 1970) does its work."""
    try:
        if part == SERVER:
            return httpx.get(f"{state.api_url}/health", timeout=_SECONDS).json() is True
        if part == SERVICE:
            return httpx.get(f"{state.service_url}/readyz", timeout=_SECONDS).status_code == httpx.codes.OK
        heard = _last_heartbeat(state.api_url, part)
    except (httpx.HTTPError, ValueError):
        return False
    if heard is None:
        return False
    return heard.timestamp() >= since and datetime.now(UTC) - heard < _ALIVE


def _last_heartbeat(api_url: str, pool: str) -> datetime | None:
    answer = httpx.post(f"{api_url}/work_pools/{pool}/workers/filter", json={}, timeout=_SECONDS)
    if answer.status_code != httpx.codes.OK:
        return None
    times = [one["last_heartbeat_time"] for one in answer.json() if one["name"] == worker_name(pool)]
    return max((datetime.fromisoformat(time) for time in times if time), default=None)
