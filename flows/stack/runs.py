"""Flow runs whose processes were ended with the stack: without a word of ours the server would think that they run."""

from typing import Any

import httpx

from flows.stack.plan import POOLS, worker_name

_SECONDS, _PAGE = 10.0, 200
_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
_WORKER = "prefect.worker.name"


def crash_unfinished_runs(api_url: str) -> list[str]:
    """End all unfinished runs that this stack's workers started, and so free their places; their names.

    Only for when no process of theirs is left. A server that does not answer is fine: the next `up` asks again.
    """
    try:
        with httpx.Client(base_url=api_url, timeout=_SECONDS) as client:
            ended = [one for one in _unfinished(client) if _end(client, one)]
    except (httpx.HTTPError, ValueError):
        return []
    return [str(one["name"]) for one in ended]


def _unfinished(client: httpx.Client) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"state": {"type": {"any_": _UNFINISHED}}}, "limit": _PAGE}
    ours = {worker_name(pool) for pool in POOLS}
    runs = client.post("flow_runs/filter", json=wanted).raise_for_status().json()
    return [one for one in runs if one.get("labels", {}).get(_WORKER) in ours]


def _end(client: httpx.Client, run: dict[str, Any]) -> bool:
    kind = "CANCELLED" if run["state"]["type"] == "CANCELLING" else "CRASHED"
    state = {"type": kind, "message": "its process was ended with the stack"}
    answer = client.post(f"flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return bool(answer.json()["status"] == "ACCEPT")
