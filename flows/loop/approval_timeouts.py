"""Retrains that wait for a person's word: nobody's within the time is a veto, also where the run that asked is gone."""

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

_ALIVE = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


def veto_expired_retrains(
    layout: Layout, settings: Settings, now: datetime, client: SyncPrefectClient
) -> list[RetrainRecord]:
    """End the retrains that waited too long and have no run any more, as a person's veto would; how they ended.

    A run that still waits, or that goes on after an answer, is left alone. None while somebody changes the project.
    """
    if settings.rollout.approval != "required":
        return []
    hours, memory = approval_hours(settings), LoopState(layout)
    late = _late(memory.retrains(), now - timedelta(hours=hours))
    if not late or not late.difference(_keys_of_runs(client)):
        return []
    try:
        with project_lock(layout.root, "veto", patient=False):
            # once more: whoever held the lock may have gone on with one
            left = _late(memory.retrains(), now - timedelta(hours=hours)) - _keys_of_runs(client)
            work = RetrainRun(layout, memory)
            return [work.veto(one, timeout_reason(hours)) for one in memory.retrains() if one.key in left]
    except BusyError as busy:
        print(busy)
        return []


def _late(retrains: Iterable[RetrainRecord], before: datetime) -> set[str]:
    """Keys of those who wait since before a moment. One that was killed before it could ask waits since it began."""
    return {
        one.key
        for one in retrains
        if one.state == "packaged"
        and one.champion
        and datetime.fromisoformat(one.asked or one.began) <= before
    }


def _keys_of_runs(client: SyncPrefectClient) -> set[str]:
    """Of the retrains whose runs are not over."""
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ALIVE)))
    named = FlowFilter(name=FlowFilterName(any_=[retrain.name]))
    runs: list[FlowRun] = client.read_flow_runs(flow_filter=named, flow_run_filter=states)
    return {retrain_key(run.id, run.parameters.get("decision")) for run in runs}
