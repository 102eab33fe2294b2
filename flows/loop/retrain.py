"""The flow `retrain`: import new data, run stale stages, check the gate, package, ask for approval, deploy to a share.

Each step is recorded under the key of the decision that triggered it: the same decision retrains once, and a killed
retrain resumes at its last recorded step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from rich.console import Console

from flows.graph.dvc_graph import StageGraph, StageRunner, find_stale_stages
from flows.graph.progress import Progress
from flows.liveness.process_heartbeat import send_heartbeats
from flows.loop import hold
from flows.loop.approval import Approval, approval_hours, wait_for_approval
from flows.loop.feedback_import import export_feedback, read_newest_log
from flows.loop.gate import run_gate
from flows.loop.loop_state import LoopState, RetrainRecord, State, utc_now
from flows.loop.pages import write_history
from flows.pipeline.tasks import submit_stages
from flows.project import backup
from flows.project.champion import Champion, pointer_path
from flows.project.lock import project_lock
from flows.project.params import set_values
from flows.project.release_log import ReleaseRecord, note_release, release_path, write_release
from monitoring.drift import newest_complete_end
from services.deployment.admission import admit
from services.releases import pointer as releases
from services.releases.pointer import Pointer
from services.releases.smoke_report import SmokeReport
from tierrec_core.base.errors import EmptyDataError, GateError, TierRecError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days, to_days
from tierrec_core.settings import Settings, TimeSplit, read_settings

_PUT_BACK: tuple[State, ...] = ("rejected", "vetoed", "failed")  # they left the project as it was before them
_AFTER_THE_GATE = frozenset({"package", "report"})
_NO_STAGE: frozenset[str] = frozenset()


@flow(name="retrain", log_prints=True, validate_parameters=False, on_running=[send_heartbeats])
def retrain(decision: Mapping[str, Any] | None = None, reason: str = "") -> str:
    """Train on the newest data and put what passes the gate on a share of users; how it ended, in words.

    decision: what `monitor` decided, with its key; without one a person asked, and says why
    """
    layout = Layout(Path.cwd())
    work = RetrainRun(layout, LoopState(layout))
    asked = _asked(decision, reason)
    with project_lock(layout.root, f"retrain {asked.key}"):
        record = work.begin(asked)
        if record.state == "training":
            record = work.train(record)
    if record.state == "packaged":
        word = work.ask(record)
        with project_lock(layout.root, f"release of {asked.key}"):
            record = work.release(record, word)
    write_history(work.memory)
    said = f"{record.key}: {record.state}" + (f" ({record.error})" if record.error else "")
    create_markdown_artifact(key="retrain", markdown=f"# Retrain {said}\n\n{record.reason}")
    print(said)
    return said


@dataclass(frozen=True)
class RetrainRun:
    """The steps of one retrain; the caller holds the project's lock in all but `ask`, which may take days."""

    layout: Layout
    memory: LoopState

    def begin(self, asked: RetrainRecord) -> RetrainRecord:
        """The retrain as it stands: new, to be gone on with, or over. Raises GateError while a person holds it."""
        held = hold.read_hold(self.layout)
        if held is not None:
            raise GateError(f"retrain: the loop is held ({held}); `tierrec hold --off` lets it go on")
        known = self.memory.retrain(asked.key) or asked
        if known.is_over or known.state == "packaged":
            return known
        backup.repair_dvc_lock_file(self.layout)
        self._end_killed(known)
        return self.memory.note(
            known, state="training", attempts=known.attempts + 1, began=known.began or utc_now(), error=""
        )

    def train(self, record: RetrainRecord) -> RetrainRecord:
        """Newest data, stages, gate and Bento; a challenger that is refused leaves the project as it was before.

        Raises what a stage raises, after it was written down, and ArtifactError when the disk is too full to begin.
        """
        before = self._before(record)
        backup.save_backup(self.layout, before)
        self._name_champion()
        try:
            settings = self._refresh()
            self._bring_up_to_date(_AFTER_THE_GATE)
            champion = Champion.find(self.layout)
            report = None if champion is None else run_gate(self.layout, settings, champion, record.key)
            if report is not None and not report.report.passed:
                backup.restore_backup(self.layout, before)
                return self._end(record, state="rejected", gate=report.path, error=report.complaint)
            self._bring_up_to_date(_NO_STAGE)
        except Exception as error:
            self._fail(record, error)
            raise
        tag, old = SmokeReport.read(self.layout.bento).tag, "" if champion is None else champion.bento
        if tag == old:
            return self._end(record, state="unchanged", champion=old, challenger=tag)
        path = "" if report is None else report.path
        return self.memory.note(record, state="packaged", champion=old, challenger=tag, gate=path)

    def ask(self, record: RetrainRecord) -> Approval:
        """A person's word on the challenger where that is wanted, else yes."""
        settings = read_settings(self.layout.params)
        if settings.rollout.approval != "required" or not record.champion:
            return Approval(approved=True)
        self.memory.note(record, asked=record.asked or utc_now())
        return wait_for_approval(
            f"{record.challenger} passed the gate against {record.champion}; {record.reason}",
            timeout_hours=approval_hours(settings),
        )

    def release(self, record: RetrainRecord, word: Approval) -> RetrainRecord:
        """Let the challenger answer its share of the users, or take it back; who comes second finds that done."""
        record = self.memory.retrain(record.key) or record
        if record.is_over:
            return record
        self._end_killed(record)
        if not word.approved:
            return self.veto(record, word.reason)
        write_release(
            self.layout, record.challenger, reason=record.reason, gate=Path(record.gate) if record.gate else None
        )
        self._deploy(record.challenger)
        return self._end(record, state="deployed")

    def veto(self, record: RetrainRecord, reason: str) -> RetrainRecord:
        """Take a challenger back; what a later retrain has made of the project since then stays."""
        later = [one for one in self.memory.retrains() if one.began > record.began]
        if all(one.state in _PUT_BACK for one in later):
            backup.restore_backup(self.layout, self._before(record))
        return self._end(record, state="vetoed", error=reason)

    def _deploy(self, tag: str) -> None:
        """Go on where a retrain that was killed had come to: what was done is not done again."""
        settings, pointer = read_settings(self.layout.params), pointer_path(self.layout)
        now = Pointer.read(pointer) if pointer.exists() else None
        if now is None or now.champion.bento != tag:
            now = releases.deploy(pointer, admit(self.layout, settings, tag), settings.rollout.share)
        if settings.rollout.max_hours > 0 or (now.previous is None and now.challenger is None):
            return
        if now.champion.bento != tag:
            releases.promote(pointer)
        if ReleaseRecord.read(release_path(self.layout, tag)).state == "released":
            note_release(self.layout, tag, state="promoted", reason="rollout.max_hours is 0")

    def _end_killed(self, ours: RetrainRecord) -> None:
        """Undo what killed retrains of other keys left behind; the project's lock excludes running ones."""
        for one in self.memory.retrains():
            before = self._before(one)
            if one.key == ours.key or one.state not in ("training", "failed") or not before.exists():
                continue
            backup.restore_backup(self.layout, before)
            if one.state == "training":
                self.memory.note(one, state="failed", error=f"it was killed, and {ours.key} came after it")
            backup.delete_backup(before)

    def _fail(self, record: RetrainRecord, error: Exception) -> None:
        """Write down why, and bring the project back; a copy that could not be brought back is kept for the next."""
        before, said = self._before(record), str(error)
        try:
            backup.restore_backup(self.layout, before)
            backup.delete_backup(before)
        except TierRecError as another:
            said = f"{said}; the project could not be brought back: {another}"
        self.memory.note(record, state="failed", error=said)

    def _name_champion(self) -> None:
        """A packaged Bento that answers without a pointer is the champion; the pointer says so before another comes."""
        pointer = pointer_path(self.layout)
        if not pointer.exists() and self.layout.bento.exists():
            releases.deploy(pointer, SmokeReport.read(self.layout.bento), 0.0)

    def _refresh(self) -> Settings:
        """Bring in the feedback, and move a cut in time so that the test is the newest window that nobody has seen."""
        settings = read_settings(self.layout.params)
        export_feedback(self.layout, settings)
        if isinstance(settings.split.by, TimeSplit):
            events = read_newest_log(self.layout, settings).events
            end = newest_complete_end(events, settings.monitor, datetime.now(UTC))
            horizon = next(iter(settings.tasks.values())).horizon_days
            if end - horizon <= to_days(events["timestamp"]).min():
                raise EmptyDataError(
                    f"retrain: the log begins {events['timestamp'].min():%Y-%m-%d} and its newest complete day is "
                    f"{from_days(end):%Y-%m-%d}; wanted more than tasks.next.horizon_days, {horizon:g}, between them"
                )
            set_values(self.layout.params, [f"split.by={{kind: time, cut: '{from_days(end - horizon):%Y-%m-%d}'}}"])
        return read_settings(self.layout.params)

    def _bring_up_to_date(self, left_out: frozenset[str]) -> None:
        graph = StageGraph.read(self.layout.root)
        todo = [stage for stage in graph.affected(find_stale_stages(self.layout.root)) if stage not in left_out]
        progress = Progress(Console(force_terminal=False), todo)
        submit_stages(graph, todo, StageRunner(self.layout.root, progress.line), progress)

    def _end(self, record: RetrainRecord, **changes: Any) -> RetrainRecord:
        after = self.memory.note(record, **changes)
        backup.delete_backup(self._before(record))
        return after

    def _before(self, record: RetrainRecord) -> Path:
        return self.layout.loop / "retrains" / f"{record.key}-before"


def retrain_key(run: UUID | str, decision: Mapping[str, Any] | None) -> str:
    """By which the retrain of a run is known: that of the decision or, where a person asked, of the run itself."""
    return str(decision["key"]) if decision else f"asked-{str(run)[:18]}"


def _asked(decision: Mapping[str, Any] | None, reason: str) -> RetrainRecord:
    # a suspended run begins again, and is the same
    key = retrain_key(flow_run.id or f"{datetime.now(UTC):%Y%m%dT%H%M%S}", decision)
    if decision:
        return RetrainRecord(key=key, reason="; ".join(decision.get("reasons") or ()) or "drift")
    return RetrainRecord(key=key, reason=reason or "asked by a person")
