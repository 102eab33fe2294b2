"""Marks flow runs as crashed whose processes were ended with the stack, which the server cannot know."""

from typing import Any

import httpx

from flows.stack.plan import POOLS, worker_name

_SECONDS, _PAGE = 10.0, 200
_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
_WORKER = "prefect.worker.name"


def crash_unfinished_runs(api_url: str) -> list[str]:
    """End all unfinished runs of this stack's workers, which frees their concurrency slots; returns their names.

    None of their processes may be left. Does nothing when the server does not answer: the next `up` tries again.
    """
    try:
        with httpx.Client(base_url=api_url, timeout=_SECONDS) as client:
            ended = [run for run in _unfinished(client) if _end(client, run)]
    except (httpx.HTTPError, ValueError):
        return []
    return [str(run["name"]) for run in ended]


def _unfinished(client: httpx.Client) -> list[dict[str, Any]]:
    query = {"flow_runs": {"state": {"type": {"any_": _UNFINISHED}}}, "limit": _PAGE}
    workers = {worker_name(pool) for pool in POOLS}
    runs = client.post("flow_runs/filter", json=query).raise_for_status().json()
    return [run for run in runs if run.get("labels", {}).get(_WORKER) in workers]


def _end(client: httpx.Client, run: dict[str, Any]) -> bool:
    kind = "CANCELLED" if run["state"]["type"] == "CANCELLING" else "CRASHED"
    state = {"type": kind, "message": "its process was ended with the stack"}
    answer = client.post(f"flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return bool(answer.json()["status"] == "ACCEPT")
