"""Rejects retrains whose approval timed out, also when the waiting flow run no longer exists."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

from flows.loop.approval import approval_hours, timeout_reason
from flows.loop.loop_state import LoopState, RetrainRecord
from flows.loop.retrain import RetrainRun, retrain, retrain_key
from flows.project.lock import BusyError, project_lock
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings

_UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


def veto_expired_retrains(
    layout: Layout, settings: Settings, now: datetime, client: SyncPrefectClient
) -> list[RetrainRecord]:
    """Veto the retrains that waited too long and have no unfinished run; returns their records.

    Runs that still wait, or that resumed after an answer, are left alone. Does nothing while the project is locked.
    """
    if settings.rollout.approval != "required":
        return []
    hours, state = approval_hours(settings), LoopState(layout)
    deadline = now - timedelta(hours=hours)
    expired = _expired_keys(state.retrains(), deadline)
    if not expired or not expired.difference(_unfinished_keys(client)):
        return []
    try:
        with project_lock(layout.root, "veto", wait=False):
            # the previous holder of the lock may have resumed one of them
            keys = _expired_keys(state.retrains(), deadline) - _unfinished_keys(client)
            run = RetrainRun(layout, state)
            return [run.veto(record, timeout_reason(hours)) for record in state.retrains() if record.key in keys]
    except BusyError as busy:
        print(busy)
        return []


def _expired_keys(retrains: Iterable[RetrainRecord], before: datetime) -> set[str]:
    """Keys of the retrains that wait since before a moment; one that was killed before it asked, since its start."""
    return {
        record.key
        for record in retrains
        if record.state == "packaged"
        and record.champion
        and datetime.fromisoformat(record.asked or record.began) <= before
    }


def _unfinished_keys(client: SyncPrefectClient) -> set[str]:
    """Keys of the retrains with unfinished flow runs."""
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)))
    flows = FlowFilter(name=FlowFilterName(any_=[retrain.name]))
    runs: list[FlowRun] = client.read_flow_runs(flow_filter=flows, flow_run_filter=states)
    return {retrain_key(run.id, run.parameters.get("decision")) for run in runs}
