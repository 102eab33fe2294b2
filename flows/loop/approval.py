"""Approval of a challenger by a user: a flow run waits for the answer that `tierrec approve` or `veto` sends."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.pipeline.embedded_server import EMBEDDED_VARIABLE
from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Settings

_KEY = "approval"  # distinguishes these pauses from others
_POLL_SECONDS = 2
_PAGE = 200
_DEFAULT_HOURS = 24.0  # for an answer, where rollout.max_hours is 0


class Approval(RunInput):
    """A user's answer."""

    approved: bool
    reason: str = ""


class ApprovalError(TierRecError):
    """No run waits for an approval, more than one does, or the server rejects the answer."""


@dataclass(frozen=True)
class PendingApproval:
    """A waiting flow run: its id and name, what it wants approved, since when and at most until when."""

    run_id: UUID
    name: str
    summary: str
    since: datetime
    until: datetime | None


def approval_hours(settings: Settings) -> float:
    """How long a run waits for an answer."""
    return settings.rollout.max_hours or _DEFAULT_HOURS


def timeout_reason(hours: float) -> str:
    """The reason of a veto after a timeout."""
    return f"no answer within {hours:g} h"


def wait_for_approval(summary: str, timeout_hours: float) -> Approval:
    """Wait inside a flow until a user approves or vetoes; a timeout is a veto.

    A run of a deployment is suspended: its process ends and frees its slot. After the answer the flow starts again from
    the beginning, and this call returns the answer at once. A suspended run fails at the timeout, and `rollout` then
    ends its retrain. Any other run waits in its process. Prefect suspends a flow by its `Pause`, a BaseException that
    must not be caught. Raises SettingsError without a Prefect server.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or EMBEDDED_VARIABLE in os.environ:
        raise SettingsError(
            "rollout.approval: is 'required', and there is no Prefect server to send the answer to; "
            "run `tierrec stack up` and start the retrain there, or set it to none"
        )
    question = Approval.with_initial_data(description=summary)
    seconds = max(1, round(timeout_hours * 3600))
    get_run_logger().info("%s; `tierrec approve` or `tierrec veto --reason ...` within %g h", summary, timeout_hours)
    if context.flow_run.deployment_id is not None and context.flow_run.parent_task_run_id is None:
        return suspend_flow_run(wait_for_input=question, timeout=seconds, key=_KEY)
    try:
        return pause_flow_run(wait_for_input=question, timeout=seconds, poll_interval=_POLL_SECONDS, key=_KEY)
    except FlowPauseTimeout:
        return Approval(approved=False, reason=timeout_reason(timeout_hours))


@contextlib.contextmanager
def connect_to(url: str) -> Iterator[SyncPrefectClient]:
    """A client of the Prefect server at a URL."""
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client


def list_pending(client: SyncPrefectClient) -> list[PendingApproval]:
    """The runs that wait for an approval, longest waiting first."""
    query = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.PAUSED]}}})
    runs = client.read_flow_runs(flow_run_filter=query, limit=_PAGE)
    pending = [approval for run in runs if (approval := _read_pending(client, run)) is not None]
    return sorted(pending, key=lambda approval: (approval.since, approval.name))


def find_pending(client: SyncPrefectClient, run: str | None) -> PendingApproval:
    """The waiting run with that name or id; without one, the only waiting run. Raises ApprovalError."""
    pending = list_pending(client)
    matches = [waiting for waiting in pending if run is None or run in (waiting.name, str(waiting.run_id))]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(waiting.name for waiting in pending) or "none"
    if run is not None:
        raise ApprovalError(f"approval: run {run!r} does not wait for it; wanted one of {names}")
    if not pending:
        raise ApprovalError(
            "approval: no run waits for it; a retrain does where rollout.approval is 'required' and the gate passed"
        )
    raise ApprovalError(f"approval: {len(pending)} runs wait for it; name one of {names}")


def send_answer(client: SyncPrefectClient, run_id: UUID, *, approved: bool, reason: str = "") -> None:
    """Resume the run with an answer. Raises ApprovalError when it no longer waits."""
    answer = Approval(approved=approved, reason=reason).model_dump()
    result = client.resume_flow_run(run_id, run_input=answer)
    if result.status != "ACCEPT":
        cause = getattr(result.details, "reason", "") or "it no longer waits"
        raise ApprovalError(f"approval: run {run_id} does not accept the answer: {cause}; see `tierrec approve --list`")


def _read_pending(client: SyncPrefectClient, run: FlowRun) -> PendingApproval | None:
    """The approval that a paused run waits for; None for other pauses, and before its question is stored."""
    if run.state is None:
        return None
    details = run.state.state_details
    if details.pause_key != _KEY or not details.run_input_keyset:
        return None
    inputs = client.filter_flow_run_input(run.id, details.run_input_keyset["description"], 1, set())
    if not inputs:
        return None
    summary = str(inputs[0].decoded_value)
    return PendingApproval(run.id, run.name, summary, run.state.timestamp, details.pause_timeout)
