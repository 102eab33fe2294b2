"""The flow `retrain`: import new data, run stale stages, check the gate, package, ask for approval, deploy to a share.

Each step is recorded under the key of the decision that triggered it: the same decision retrains once, and a killed
retrain resumes at its last recorded step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run

from flows.graph.dvc_locks import repair_dvc_lock_file
from flows.liveness import send_heartbeats
from flows.loop import backup
from flows.loop.approval import Approval, approval_hours, timeout_reason, wait_for_approval
from flows.loop.feed_gate import require_sound_feed
from flows.loop.feedback import export_feedback
from flows.loop.gate import gate_path, run_gate
from flows.loop.loop_state import LoopState, RetrainRecord, RetrainStatus
from flows.loop.pages import write_history
from flows.pipeline.tasks import run_stale_stages
from flows.project.champion import Champion, fetch_pointer, pointer_path
from flows.project.lock import BusyError, project_lock
from flows.project.release_log import ReleaseRecord, note_release, release_path, utc_now, write_release
from services.deployment.smoke import admit
from services.releases import pointer as pointers
from services.releases.manifest import SmokeReport
from services.releases.pointer import Pointer
from tierrec_core.base.errors import GateError, SettingsError, TierRecError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, TimeSplit, read_settings

_RESTORED: tuple[RetrainStatus, ...] = ("rejected", "vetoed", "failed")  # retrains after which the project was restored
_AFTER_GATE = ("package", "report")
_UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


def _run_name() -> str:
    """The run's name: the same when it resumes after an approval."""
    return f"retrain-{retrain_key(flow_run.id or '', flow_run.parameters.get('decision'))}"


@flow(name="retrain", flow_run_name=_run_name, log_prints=True, validate_parameters=False, on_running=[send_heartbeats])
def retrain(decision: Mapping[str, Any] | None = None, reason: str = "") -> str:
    """Train on the newest data, and serve a challenger that passes the gate to a share of users; returns a summary.

    decision: a record of `monitor`; None = a user requested the retrain, for the reason
    """
    layout = Layout(Path.cwd())
    run = RetrainRun(layout, LoopState(layout))
    request = _request(decision, reason)
    with project_lock(layout.root, f"retrain {request.key}"):
        record = run.begin(request)
        if record.state == "training":
            record = run.train(record)
    if record.state == "packaged":
        answer = run.ask(record)
        with project_lock(layout.root, f"release of {request.key}"):
            record = run.release(record, answer)
    write_history(run.state)
    summary = f"{record.key}: {record.state}" + (f" ({record.error})" if record.error else "")
    create_markdown_artifact(key="retrain", markdown=f"# Retrain {summary}\n\n{record.reason}")
    print(summary)
    return summary


@dataclass(frozen=True)
class RetrainRun:
    """The steps of one retrain; the caller holds the project's lock in all but `ask`, which may take days."""

    layout: Layout
    state: LoopState

    def begin(self, request: RetrainRecord) -> RetrainRecord:
        """The retrain's record: new, to be resumed, or over. Raises GateError while a user holds the loop."""
        hold = self.state.read_hold()
        if hold is not None:
            raise GateError(f"retrain: the loop is held ({hold}); `tierrec hold --off` ends the hold")
        record = self.state.find_retrain(request.key) or request
        if record.is_over or record.state == "packaged":
            return record
        repair_dvc_lock_file(self.layout.root)
        self._clean_up_killed(record)
        began = record.began or utc_now()
        return self.state.update_retrain(record, state="training", attempts=record.attempts + 1, began=began, error="")

    def train(self, record: RetrainRecord) -> RetrainRecord:
        """Import data, run the stages and the gate, and package; a rejected challenger leaves the project unchanged.

        Records a failure and raises it again. Raises GateError for faults of the feed, and ArtifactError when the
        disk is too full for a backup.
        """
        folder = self._backup_folder(record)
        backup.save_backup(self.layout, folder)
        self._write_first_pointer()
        gate = ""
        try:
            settings = self._import_data()
            require_sound_feed(self.layout, settings, datetime.now(UTC))
            run_stale_stages(self.layout.root, skipped=_AFTER_GATE)
            champion = Champion.find(self.layout)
            if champion is not None:
                report = run_gate(self.layout, settings, champion, record.key)
                gate = str(gate_path(self.layout, record.key).relative_to(self.layout.root))
                failed = [check for check in report.checks if not check.passed]
                if failed:
                    error = "; ".join(f"{check.name}: {check.found}, wanted {check.wanted}" for check in failed)
                    backup.restore_backup(self.layout, folder)
                    return self._end(record, state="rejected", gate=gate, error=error)
            run_stale_stages(self.layout.root)
        except Exception as error:
            self._fail(record, error)
            raise
        tag, old = SmokeReport.read(self.layout.bento).tag, "" if champion is None else champion.bento
        if tag == old:
            return self._end(record, state="unchanged", champion=old, challenger=tag)
        return self.state.update_retrain(record, state="packaged", champion=old, challenger=tag, gate=gate)

    def ask(self, record: RetrainRecord) -> Approval:
        """A user's answer on the challenger where rollout.approval requires it, else an approval."""
        settings = read_settings(self.layout.params)
        if settings.rollout.approval != "required" or not record.champion:
            return Approval(approved=True)
        self.state.update_retrain(record, asked=record.asked or utc_now())
        summary = f"{record.challenger} passed the gate against {record.champion}; {record.reason}"
        return wait_for_approval(summary, timeout_hours=approval_hours(settings))

    def release(self, record: RetrainRecord, answer: Approval) -> RetrainRecord:
        """Deploy the challenger to its share of users, or veto it. Does nothing when the retrain is over already."""
        record = self.state.find_retrain(record.key) or record
        if record.is_over:
            return record
        self._clean_up_killed(record)
        if not answer.approved:
            return self.veto(record, answer.reason)
        write_release(self.layout, record.challenger, reason=record.reason, gate=record.gate or None)
        self._deploy(record.challenger)
        return self._end(record, state="deployed")

    def veto(self, record: RetrainRecord, reason: str) -> RetrainRecord:
        """Reject a challenger and restore the project, unless a later retrain has changed it since."""
        later = [retrain for retrain in self.state.retrains() if retrain.began > record.began]
        if all(retrain.state in _RESTORED for retrain in later):
            backup.restore_backup(self.layout, self._backup_folder(record))
        return self._end(record, state="vetoed", error=reason)

    def _deploy(self, tag: str) -> None:
        """Deploy, resuming after the last step of a retrain that was killed."""
        settings, path = read_settings(self.layout.params), pointer_path(self.layout)
        target = fetch_pointer(self.layout)
        pointer = Pointer.read(path) if path.exists() else None
        if pointer is None or pointer.champion.bento != tag:
            pointer = pointers.deploy(path, admit(self.layout, settings, tag), settings.rollout.share, target=target)
        if settings.rollout.max_hours > 0 or (pointer.previous is None and pointer.challenger is None):
            return
        if pointer.champion.bento != tag:
            pointers.promote(path, seen=pointer.revision, target=target)
        if ReleaseRecord.read(release_path(self.layout, tag)).state == "released":
            note_release(self.layout, tag, state="promoted", reason="rollout.max_hours is 0")

    def _clean_up_killed(self, current: RetrainRecord) -> None:
        """Undo the changes of killed retrains with other keys; the project's lock excludes running ones."""
        for retrain in self.state.retrains():
            folder = self._backup_folder(retrain)
            if retrain.key == current.key or retrain.state not in ("training", "failed") or not folder.exists():
                continue
            backup.restore_backup(self.layout, folder)
            if retrain.state == "training":
                error = f"it was killed before {current.key} started"
                self.state.update_retrain(retrain, state="failed", error=error)
            backup.delete_backup(folder)

    def _fail(self, record: RetrainRecord, error: Exception) -> None:
        """Record the error and restore the project; a backup that cannot be restored is kept for the next retrain."""
        folder, message = self._backup_folder(record), str(error)
        try:
            backup.restore_backup(self.layout, folder)
            backup.delete_backup(folder)
        except TierRecError as restore_error:
            message = f"{message}; the project could not be restored: {restore_error}"
        self.state.update_retrain(record, state="failed", error=message)

    def _write_first_pointer(self) -> None:
        """Make the packaged Bento the champion, if there is no pointer, before another Bento is packaged."""
        path, target = pointer_path(self.layout), fetch_pointer(self.layout)
        if not path.exists() and self.layout.bento.exists():
            pointers.deploy(path, SmokeReport.read(self.layout.bento), 0.0, target=target)

    def _import_data(self) -> Settings:
        """Export the feedback. Raises SettingsError for a fixed cut: all would be judged on the same days for ever."""
        settings = read_settings(self.layout.params)
        by = settings.split.by
        if isinstance(by, TimeSplit) and isinstance(by.cut, datetime):
            days = ceil(max(task.horizon_days for task in settings.tasks.values()))
            raise SettingsError(
                f"{self.layout.params}: split.by.cut is {by.cut:%Y-%m-%d}, and all retrains would be judged after it; "
                f"wanted a cut that moves with the log, such as `last {days} days`"
            )
        export_feedback(self.layout, settings)
        return settings

    def _end(self, record: RetrainRecord, **changes: Any) -> RetrainRecord:
        after = self.state.update_retrain(record, **changes)
        backup.delete_backup(self._backup_folder(record))
        return after

    def _backup_folder(self, record: RetrainRecord) -> Path:
        return self.layout.loop / "retrains" / f"{record.key}-before"


def retrain_key(run: UUID | str, decision: Mapping[str, Any] | None) -> str:
    """The key of a run's retrain: the decision's or, if a user requested it, one of the run itself."""
    return str(decision["key"]) if decision else f"asked-{str(run)[:18]}"


def _request(decision: Mapping[str, Any] | None, reason: str) -> RetrainRecord:
    # a suspended run starts again with the same id
    key = retrain_key(flow_run.id or f"{datetime.now(UTC):%Y%m%dT%H%M%S}", decision)
    if decision:
        return RetrainRecord(key=key, reason="; ".join(decision.get("reasons") or ()) or "drift")
    return RetrainRecord(key=key, reason=reason or "requested by a user")


def veto_expired_retrains(
    layout: Layout, settings: Settings, now: datetime, client: SyncPrefectClient
) -> list[RetrainRecord]:
    """Veto the retrains whose approval timed out, also when their flow run no longer exists; returns their records.

    Runs that still wait, or that resumed after an answer, are left alone. Does nothing while the project is locked.
    """
    hours, state = approval_hours(settings), LoopState(layout)
    deadline = now - timedelta(hours=hours)
    if settings.rollout.approval != "required" or not _expired_retrains(state, deadline, client):
        return []
    try:
        with project_lock(layout.root, "veto", wait=False):
            expired = _expired_retrains(state, deadline, client)  # another process may have resumed one before
            return [RetrainRun(layout, state).veto(record, timeout_reason(hours)) for record in expired]
    except BusyError as busy:
        print(busy)
        return []


def _expired_retrains(state: LoopState, deadline: datetime, client: SyncPrefectClient) -> list[RetrainRecord]:
    """Retrains without an unfinished run whose approval was due at the deadline."""
    waiting = [record for record in state.retrains() if record.state == "packaged" and record.champion]
    # a retrain that was killed before it asked has waited since its start
    expired = [record for record in waiting if datetime.fromisoformat(record.asked or record.began) <= deadline]
    if not expired:
        return []
    unfinished = unfinished_retrains(client)
    return [record for record in expired if record.key not in unfinished]


def unfinished_retrains(client: SyncPrefectClient) -> set[str]:
    """The keys of retrains with a flow run that is scheduled, runs or waits."""
    runs = client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"name": {"any_": [retrain.name]}}),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": _UNFINISHED}}}),
    )
    return {retrain_key(run.id, run.parameters.get("decision")) for run in runs}
