"""The flow `monitor`: hold the newest complete window against the champion's reference, decide, and tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.events import emit_event

from flows.liveness.process_heartbeat import send_heartbeats
from flows.loop import hold
from flows.loop.feedback_import import clean_events, read_newest_log
from flows.loop.loop_state import LoopState
from flows.loop.online_metrics import read_online_metrics
from flows.loop.pages import write_charts, write_history
from flows.project.champion import Champion
from monitoring.drift import (
    DriftDecision,
    DriftReference,
    DriftVerdict,
    FeedChecks,
    decide,
    evaluate_window,
    measure_window,
    newest_complete_end,
)
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings, read_settings

DRIFT_EVENT = "tierrec.drift.detected"
FOLDER = "reference"


@dataclass(frozen=True)
class MonitorResult:
    """One look at the newest window: what was found, what follows, and the record of both."""

    verdict: DriftVerdict
    decision: DriftDecision
    record: Mapping[str, Any]


@flow(name="monitor", log_prints=True, on_running=[send_heartbeats], retries=3, retry_delay_seconds=20)
def monitor() -> str:
    """Judge the newest complete window; a decision to retrain is emitted as an event. What was decided, in words."""
    layout = Layout(Path.cwd())
    settings, memory = read_settings(layout.params), LoopState(layout)
    look = evaluate_newest_window(layout, settings, memory, datetime.now(UTC))
    if look is not None:
        publish_decision(look)
    asked = memory.unanswered(person_asked=settings.rollout.approval == "required")
    if asked is not None and hold.read_hold(layout) is None:
        emit_drift_event(layout, asked)
    return "nothing new" if look is None else f"{look.decision.act}: {'; '.join(look.decision.reasons)}"


def evaluate_newest_window(
    layout: Layout, settings: Settings, memory: LoopState, now: datetime
) -> MonitorResult | None:
    """Look at the newest complete window, decide and write that down; None when that window was decided on before.

    Raises ArtifactError without a champion, EmptyDataError without an event after its cut, and what reading the log
    raises.
    """
    champion = Champion.require(layout)
    reference = read_reference(champion)
    log, past = read_newest_log(layout, settings), memory.past()
    end = newest_complete_end(log.events, settings.monitor, now)
    if any(one.window_end == end and one.model == champion.model for one in past):
        print(f"the window that ends {from_days(end):%Y-%m-%d} was judged before")
        return None
    if end <= reference.cut:
        raise EmptyDataError(
            f"monitor: the newest complete window ends {from_days(end):%Y-%m-%d}, and {champion.bento} has learned up "
            f"to {from_days(reference.cut):%Y-%m-%d}; wanted a later one: check the source and the machine's clock"
        )
    feed = FeedChecks.measure(log.events, log.items, reference, end, settings.monitor, now)
    current = measure_window(reference, clean_events(log.events, settings), log.items, end)
    shown = read_online_metrics(layout, champion, settings, now)
    verdict = evaluate_window(reference, current, feed, settings.monitor, settings.seed, shown)
    decision = decide(
        verdict, past, settings.monitor, model=champion.model, at=now, held=hold.read_hold(layout) is not None
    )
    page = write_charts(layout, settings, log, reference, verdict, decision.key)
    record = memory.keep(decision, verdict, page)
    write_history(memory)
    return MonitorResult(verdict, decision, record)


def read_reference(champion: Champion) -> DriftReference:
    """What the champion's window was. Raises ArtifactError when the bundle has none, or one of another version."""
    try:
        return artifacts.load(DriftReference, champion.bundle / FOLDER)
    except TypeError as error:  # a field that came later
        raise ArtifactError(
            f"{champion.bundle / FOLDER}: was made by another version ({error}); "
            "wanted one of this one: `tierrec retrain` makes a new champion"
        ) from error


def publish_decision(look: MonitorResult) -> None:
    """The decision as Prefect artifacts, and in the log of the run."""
    lines = [f"# {look.verdict.state}: {look.decision.act}", "", *(f"- {one}" for one in look.decision.reasons)]
    create_markdown_artifact(key="drift-decision", markdown="\n".join(lines))
    page = look.record.get("page")
    if page:
        create_link_artifact(key="drift-page", link=(Layout(Path.cwd()).loop / page).resolve().as_uri())
    print("\n".join(lines))


def emit_drift_event(layout: Layout, record: Mapping[str, Any]) -> None:
    """Tell the server; its automation starts `retrain`, which knows the key of a decision that it has met before."""
    keys = ("key", "model", "window_end", "reasons", "tiers", "layers", "effects", "window")
    emit_event(
        event=DRIFT_EVENT,
        resource={"prefect.resource.id": f"tierrec.project.{layout.root.name}"},
        payload={name: record.get(name) for name in keys},
    )
    print(f"{DRIFT_EVENT} {record['key']}")
