"""The flow `retrain`: newest data, the stale stages, the gate, a Bento, a person's word if wanted, a share of users.

Each step is written down under the key of the decision that asked for it: whoever asks twice gets one retrain, and one
that was killed goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from rich.console import Console

from flows.loop import hold, tree
from flows.loop.approval import wait_for_approval
from flows.loop.champion import Champion, pointer_path
from flows.loop.claims import claim
from flows.loop.feeding import export, newest
from flows.loop.gating import gate
from flows.loop.lock import project_lock
from flows.loop.memory import Memory, Retrain, now
from flows.loop.pages import write_history
from flows.orchestration import submit_stages
from flows.params import set_values
from flows.progress import Progress
from flows.releases import note_release, write_release
from flows.stages import Graph, Runner, stale
from monitoring.drift import newest_complete_end
from services import releases
from services.admission import admit
from services.releases import Pointer
from services.smoke_report import SmokeReport
from tierrec_core.errors import EmptyDataError, GateError, TierRecError
from tierrec_core.interactions import from_days, to_days
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings, TimeSplit, read_settings

_AFTER_THE_GATE = frozenset({"package", "report"})
_NO_STAGE: frozenset[str] = frozenset()


@flow(name="retrain", log_prints=True, validate_parameters=False, on_running=[claim])
def retrain(decision: Mapping[str, Any] | None = None, reason: str = "") -> str:
    """Train on the newest data and put what passes the gate on a share of users; how it ended, in words.

    decision: what `monitor` decided, with its key; without one a person asked, and says why
    """
    layout = Layout(Path.cwd())
    work = Retraining(layout, Memory(layout))
    asked = _asked(decision, reason)
    with project_lock(layout.root, f"retrain {asked.key}"):
        record = work.begin(asked)
        if record.state == "training":
            record = work.train(record)
    if record.state == "packaged":
        record = work.release(record)
    write_history(work.memory)
    said = f"{record.key}: {record.state}" + (f" ({record.error})" if record.error else "")
    create_markdown_artifact(key="retrain", markdown=f"# Retrain {said}\n\n{record.reason}")
    print(said)
    return said


@dataclass(frozen=True)
class Retraining:
    """The steps of one retrain; the caller holds the project's lock while it begins and trains."""

    layout: Layout
    memory: Memory

    def begin(self, asked: Retrain) -> Retrain:
        """The retrain as it stands: new, to be gone on with, or over. Raises GateError while a person holds it."""
        held = hold.held(self.layout)
        if held is not None:
            raise GateError(f"retrain: the loop is held ({held}); `tierrec hold --off` lets it go on")
        known = self.memory.retrain(asked.key) or asked
        if known.is_over or known.state == "packaged":
            return known
        return self.memory.note(
            known, state="training", attempts=known.attempts + 1, began=known.began or now(), error=""
        )

    def train(self, record: Retrain) -> Retrain:
        """Newest data, stages, gate and Bento; a challenger that is refused leaves the project as it was before.

        Raises what a stage raises, after it was written down.
        """
        before = self._before(record)
        tree.keep(self.layout, before)
        self._name_champion()
        try:
            settings = self._refresh()
            self._bring_up_to_date(_AFTER_THE_GATE)
            champion = Champion.find(self.layout)
            report = None if champion is None else gate(self.layout, settings, champion, record.key)
            if report is not None and not report.report.passed:
                tree.restore(self.layout, before)
                return self._end(record, state="rejected", gate=report.path, error=report.complaint)
            self._bring_up_to_date(_NO_STAGE)
        except TierRecError as error:
            tree.restore(self.layout, before)
            self.memory.note(record, state="failed", error=str(error))
            raise
        tag, old = SmokeReport.read(self.layout.bento).tag, "" if champion is None else champion.bento
        if tag == old:
            return self._end(record, state="unchanged", champion=old, challenger=tag)
        path = "" if report is None else report.path
        return self.memory.note(record, state="packaged", champion=old, challenger=tag, gate=path)

    def release(self, record: Retrain) -> Retrain:
        """Ask a person where that is wanted, then let the challenger answer its share of the users."""
        settings = read_settings(self.layout.params)
        pointer = pointer_path(self.layout)
        if settings.rollout.approval == "required" and record.champion:
            answer = wait_for_approval(
                f"{record.challenger} passed the gate against {record.champion}; {record.reason}",
                timeout_hours=settings.rollout.max_hours or 24.0,
            )
            if not answer.approved:
                tree.restore(self.layout, self._before(record))
                return self._end(record, state="vetoed", error=answer.reason)
        write_release(
            self.layout,
            record.challenger,
            reason=record.reason,
            gate=Path(record.gate) if record.gate else None,
        )
        if not pointer.exists() or Pointer.read(pointer).champion.bento != record.challenger:
            report = admit(self.layout, settings, record.challenger)
            after = releases.deploy(pointer, report, settings.rollout.share)
            if after.challenger is not None and settings.rollout.max_hours == 0:
                releases.promote(pointer)
                note_release(
                    self.layout, record.challenger, state="promoted", reason="rollout.max_hours is 0"
                )
        return self._end(record, state="deployed")

    def _name_champion(self) -> None:
        """A packaged Bento that answers without a pointer is the champion; the pointer says so before another comes."""
        pointer = pointer_path(self.layout)
        if not pointer.exists() and self.layout.bento.exists():
            releases.deploy(pointer, SmokeReport.read(self.layout.bento), 0.0)

    def _refresh(self) -> Settings:
        """Bring in the feedback, and move a cut in time so that the test is the newest window that nobody has seen."""
        settings = read_settings(self.layout.params)
        export(self.layout, settings)
        if isinstance(settings.split.by, TimeSplit):
            events = newest(self.layout, settings).events
            end = newest_complete_end(events, settings.monitor, datetime.now(UTC))
            horizon = next(iter(settings.tasks.values())).horizon_days
            if end - horizon <= to_days(events["timestamp"]).min():
                raise EmptyDataError(
                    f"retrain: the log begins {events['timestamp'].min():%Y-%m-%d} and its newest complete day is "
                    f"{from_days(end):%Y-%m-%d}; wanted more than tasks.next.horizon_days, {horizon:g}, between them"
                )
            set_values(
                self.layout.params, [f"split.by={{kind: time, cut: '{from_days(end - horizon):%Y-%m-%d}'}}"]
            )
        return read_settings(self.layout.params)

    def _bring_up_to_date(self, left_out: frozenset[str]) -> None:
        graph = Graph.read(self.layout.root)
        todo = [stage for stage in graph.affected(stale(self.layout.root)) if stage not in left_out]
        progress = Progress(Console(force_terminal=False), todo)
        submit_stages(graph, todo, Runner(self.layout.root, progress.line), progress)

    def _end(self, record: Retrain, **changes: Any) -> Retrain:
        after = self.memory.note(record, **changes)
        tree.forget(self._before(record))
        return after

    def _before(self, record: Retrain) -> Path:
        return self.layout.loop / "retrains" / f"{record.key}-before"


def _asked(decision: Mapping[str, Any] | None, reason: str) -> Retrain:
    if decision:
        return Retrain(key=str(decision["key"]), reason="; ".join(decision.get("reasons") or ()) or "drift")
    run = str(
        flow_run.id or f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    )  # a suspended run begins again, and is the same
    return Retrain(key=f"asked-{run[:18]}", reason=reason or "asked by a person")
