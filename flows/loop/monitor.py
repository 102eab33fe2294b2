"""The flow `monitor`: compare the newest complete window with the champion's reference and decide on a retrain."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.events import emit_event

from flows.liveness import send_heartbeats
from flows.loop.feedback import clean_events, read_newest_log, read_online_metrics
from flows.loop.loop_state import LoopState
from flows.loop.pages import write_charts, write_history
from flows.project.champion import Champion
from monitoring.drift import DriftReference, FeedChecks, decide, evaluate_window, measure_window, newest_complete_end
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import is_guest
from tierrec_core.base.errors import ArtifactError, EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings, read_settings

DRIFT_EVENT = "tierrec.drift.detected"
FOLDER = "reference"
_EVENT_FIELDS = ("key", "model", "window_end", "reasons", "tiers", "layers", "effects", "window")


@flow(name="monitor", log_prints=True, on_running=[send_heartbeats], retries=3, retry_delay_seconds=20)
def monitor() -> str:
    """Evaluate the newest complete window, and emit an event for a pending decision to retrain; returns a summary."""
    layout = Layout(Path.cwd())
    settings, state = read_settings(layout.params), LoopState(layout)
    record = evaluate_newest_window(layout, settings, state, datetime.now(UTC))
    if record is not None:
        publish_decision(layout, record)
    pending = state.pending_decision(approval_required=settings.rollout.approval == "required")
    if pending is not None and state.read_hold() is None:
        emit_drift_event(layout, pending)
    return "nothing new" if record is None else f"{record['act']}: {'; '.join(record['reasons'])}"


def evaluate_newest_window(
    layout: Layout, settings: Settings, state: LoopState, now: datetime
) -> Mapping[str, Any] | None:
    """Evaluate the newest complete window, and record the decision; None when it was already evaluated.

    Raises ArtifactError without a champion, EmptyDataError without an event after its cut, and the errors of
    reading the log.
    """
    champion = Champion.require(layout)
    reference = read_reference(champion)
    log, decisions = read_newest_log(layout, settings), state.drift_decisions()
    log = replace(log, events=log.events[~is_guest(log.events)])
    end = newest_complete_end(log.events, settings.monitor, now)
    if any(decision.window_end == end and decision.model == champion.model for decision in decisions):
        print(f"the window that ends {from_days(end):%Y-%m-%d} was already evaluated")
        return None
    if end <= reference.cut:
        raise EmptyDataError(
            f"monitor: the newest complete window ends {from_days(end):%Y-%m-%d}, and {champion.bento} was trained up "
            f"to {from_days(reference.cut):%Y-%m-%d}; wanted a later one: check the source and the machine's clock"
        )
    feed = FeedChecks.measure(log.events, log.items, reference, end, settings.monitor, now)
    current = measure_window(reference, clean_events(log.events, settings), log.items, end)
    online = read_online_metrics(layout, champion, settings, now)
    verdict = evaluate_window(reference, current, feed, settings.monitor, settings.seed, online)
    is_held = state.read_hold() is not None
    decision = decide(verdict, decisions, settings.monitor, model=champion.model, at=now, held=is_held)
    page = write_charts(layout, settings, log, reference, verdict, decision.key)
    record = state.record_decision(decision, verdict, page)
    write_history(state)
    return record


def read_reference(champion: Champion) -> DriftReference:
    """The champion's reference window. Raises ArtifactError when the bundle has none, or one of another version."""
    try:
        return artifacts.load(DriftReference, champion.bundle / FOLDER)
    except TypeError as error:  # a field was added after it was written
        raise ArtifactError(
            f"{champion.bundle / FOLDER}: was made by another version ({error}); "
            "wanted one of this version: `tierrec retrain` makes a new champion"
        ) from error


def publish_decision(layout: Layout, record: Mapping[str, Any]) -> None:
    """Publish a decision as Prefect artifacts, and in the log of the run."""
    lines = [f"# {record['state']}: {record['act']}", "", *(f"- {reason}" for reason in record["reasons"])]
    create_markdown_artifact(key="drift-decision", markdown="\n".join(lines))
    create_link_artifact(key="drift-page", link=(layout.loop / record["page"]).resolve().as_uri())
    print("\n".join(lines))


def emit_drift_event(layout: Layout, record: Mapping[str, Any]) -> None:
    """Emit the event by which the server's automation starts `retrain`, which ignores keys of completed retrains."""
    emit_event(
        event=DRIFT_EVENT,
        resource={"prefect.resource.id": f"tierrec.project.{layout.root.name}"},
        payload={name: record.get(name) for name in _EVENT_FIELDS},
    )
    print(f"{DRIFT_EVENT} {record['key']}")
