"""A flow run that waits for a person's word, and the word: by `tierrec approve` or `veto`, or the server itself."""

import contextlib
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

from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Settings

_KEY = "approval"  # by which runs that wait for this are told from runs that are paused for another reason
_POLL_SECONDS = 2
_SHOWN = 200
_HOURS = 24.0  # for an answer, where a rollout itself takes none


class Approval(RunInput):
    """What a person said of a challenger, and why."""

    approved: bool
    reason: str = ""


class ApprovalError(TierRecError):
    """Nobody waits for a word, more than one does, or the server does not take it."""


@dataclass(frozen=True)
class PendingApproval:
    """A flow run that waits: its id and name, what it wants approved, since when and at most until when."""

    run_id: UUID
    name: str
    summary: str
    since: datetime
    until: datetime | None


def approval_hours(settings: Settings) -> float:
    """How long a person's word is waited for."""
    return settings.rollout.max_hours or _HOURS


def timeout_reason(hours: float) -> str:
    """Why a challenger is vetoed that nobody said a word of."""
    return f"nobody answered within {hours:g} h"


def wait_for_approval(summary: str, timeout_hours: float) -> Approval:
    """Called by a flow: wait until a person approves or vetoes; nobody within the time is a veto.

    A run of a deployment is suspended: its process ends here, nothing is held meanwhile, and when the answer is there
    the flow begins again from its first line and gets the answer from this call at once. Such a run fails when nobody
    answers; flows.loop.approval_timeouts then ends its retrain. Any other run waits in its process. Prefect ends the
    flow by raising its `Pause`, a BaseException that must be let through. Raises SettingsError where no server
    runs that a person could reach.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not PREFECT_API_URL.value():
        raise SettingsError(
            "rollout.approval: is 'required', and there is no Prefect server at which a person could answer; "
            "run `tierrec stack up` and start the retrain there, or set it to none"
        )
    question = Approval.with_initial_data(description=summary)
    seconds = max(1, round(timeout_hours * 3600))
    get_run_logger().info(
        "%s; `tierrec approve` or `tierrec veto --reason ...` within %g h", summary, timeout_hours
    )
    if context.flow_run.deployment_id is not None and context.flow_run.parent_task_run_id is None:
        return suspend_flow_run(wait_for_input=question, timeout=seconds, key=_KEY)
    try:
        return pause_flow_run(wait_for_input=question, timeout=seconds, poll_interval=_POLL_SECONDS, key=_KEY)
    except FlowPauseTimeout:
        return Approval(approved=False, reason=timeout_reason(timeout_hours))


@contextlib.contextmanager
def connect_to(url: str) -> Iterator[SyncPrefectClient]:
    """A client of the server at a URL."""
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client


def list_pending(client: SyncPrefectClient) -> list[PendingApproval]:
    """The runs that wait for a word, the longest waiting first."""
    paused = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.PAUSED]}}})
    runs = client.read_flow_runs(flow_run_filter=paused, limit=_SHOWN)
    found = [one for run in runs if (one := _waiting(client, run)) is not None]
    return sorted(found, key=lambda one: (one.since, one.name))


def find_pending(client: SyncPrefectClient, run: str | None) -> PendingApproval:
    """The waiting run of that name or id; without one, the only one that waits. Raises ApprovalError."""
    known = list_pending(client)
    meant = [one for one in known if run is None or run in (one.name, str(one.run_id))]
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(one.name for one in known) or "none"
    if run is not None:
        raise ApprovalError(f"approval: no run {run!r} waits for it; waiting are: {names}")
    if not known:
        raise ApprovalError(
            "approval: no run waits for it; a retrain does where rollout.approval is 'required' and the gate passed"
        )
    raise ApprovalError(f"approval: {len(known)} runs wait for it; name one of {names}")


def send_answer(client: SyncPrefectClient, run_id: UUID, *, approved: bool, reason: str = "") -> None:
    """Let the run go on with a person's word. Raises ApprovalError when it does not wait any more."""
    word = Approval(approved=approved, reason=reason).model_dump()
    result = client.resume_flow_run(run_id, run_input=word)
    if result.status != "ACCEPT":
        why = getattr(result.details, "reason", "") or "it waits no more"
        raise ApprovalError(
            f"approval: run {run_id} does not take the answer: {why}; see `tierrec approve --list`"
        )


def _waiting(client: SyncPrefectClient, run: FlowRun) -> PendingApproval | None:
    """What a paused run wants approved; None for another pause, or one whose question is still being written."""
    if run.state is None:
        return None
    details = run.state.state_details
    if details.pause_key != _KEY or not details.run_input_keyset:
        return None
    written = client.filter_flow_run_input(run.id, details.run_input_keyset["description"], 1, set())
    if not written:
        return None
    summary = str(written[0].decoded_value)
    return PendingApproval(run.id, run.name, summary, run.state.timestamp, details.pause_timeout)
