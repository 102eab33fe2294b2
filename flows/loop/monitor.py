"""The flow `monitor`: compare the newest complete window with the champion's reference and decide on a retrain."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events import emit_event

from flows.liveness import send_heartbeats
from flows.loop.feedback import read_online_metrics
from flows.loop.loop_state import LoopState
from flows.loop.newest_window import NewestWindow, read_reference
from flows.loop.pages import write_charts, write_history
from flows.pipeline.page_links import publish_page
from flows.project.champion import Champion, read_pointer
from flows.run_names import flow_and_time
from monitoring.drift import CanaryResult, CanaryTask, decide, evaluate_window, run_canary
from monitoring.drift.feed.feed_log import events_between
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings, read_settings

DRIFT_EVENT = "tierrec.drift.detected"
_EVENT_FIELDS = ("key", "model", "window_end", "reasons", "tiers", "layers", "effects", "window")


@flow(
    name="monitor",
    flow_run_name=flow_and_time,
    log_prints=True,
    on_running=[send_heartbeats],
    retries=3,
    retry_delay_seconds=20,
)
def monitor() -> str:
    """Evaluate the newest complete window, and emit an event for a pending decision to retrain; returns a summary.

    While a run of the retrain is unfinished the event is not repeated; after one that failed it starts the next.
    """
    layout = Layout(Path.cwd())
    settings, state, now = read_settings(layout.params), LoopState(layout), datetime.now(UTC)
    record = evaluate_newest_window(layout, settings, state, now)
    if record is not None:
        publish_decision(layout, record)
    pending = state.pending_decision(approval_required=settings.rollout.approval == "required")
    if pending is not None and state.read_hold() is None and not _is_under_way(pending["key"]):
        retrain = state.find_retrain(pending["key"])
        if challenger_on_trial(layout, settings, now) in ("", retrain.challenger if retrain else ""):
            emit_drift_event(layout, pending)
    return "nothing new" if record is None else f"{record['act']}: {'; '.join(record['reasons'])}"


def _is_under_way(key: str) -> bool:
    """Whether a run of the retrain with this key is scheduled, runs or waits."""
    from flows.loop.retrain import unfinished_retrains  # imports DVC

    with get_client(sync_client=True) as client:
        return key in unfinished_retrains(client)


def evaluate_newest_window(
    layout: Layout, settings: Settings, state: LoopState, now: datetime
) -> Mapping[str, Any] | None:
    """Evaluate the newest complete window, and record the decision; None when it was already evaluated.

    Raises ArtifactError without a champion, EmptyDataError when the log ends before its training did, and the errors of
    reading the log.
    """
    champion, decisions = Champion.require(layout), state.drift_decisions()
    reference = read_reference(champion)
    window = NewestWindow.read(layout, settings, reference, now)
    end, day = window.end, f"{from_days(window.end):%Y-%m-%d}"
    if any(decision.window_end == end and decision.model == champion.model for decision in decisions):
        print(f"the window that ends {day} was already evaluated")
        return None
    if end < reference.cut - 1:  # the newest events of either may have had fast clocks
        raise EmptyDataError(
            f"monitor: the newest complete window ends {day}, and {champion.bento} was trained up "
            f"to {from_days(reference.cut):%Y-%m-%d}; wanted a later one: check the source and the machine's clock"
        )
    feed, current = window.measure()
    online = read_online_metrics(layout, champion, settings, now)
    verdict = evaluate_window(reference, current, feed, settings.monitor, settings.seed, online)
    decision = decide(
        verdict,
        decisions,
        settings.monitor,
        model=champion.model,
        at=now,
        held=state.read_hold() is not None,
        challenger=challenger_on_trial(layout, settings, now),
        canary=None if verdict.faults else _canary(window),
        retrain=settings.retrain,
    )
    page = write_charts(layout, settings, window.log, reference, verdict, decision.key)
    record = state.record_decision(decision, verdict, page)
    write_history(state)
    return record


def challenger_on_trial(layout: Layout, settings: Settings, now: datetime) -> str:
    """The tag of the challenger in its rollout; empty once that has taken rollout.max_hours without a result."""
    pointer = read_pointer(layout)
    if pointer is None or pointer.challenger is None:
        return ""
    return pointer.challenger.bento if now - pointer.changed < timedelta(hours=settings.rollout.max_hours) else ""


def _canary(window: NewestWindow) -> CanaryResult:
    """What a retrain would have gained on the default task's target in the window's last week."""
    settings, events = window.settings, window.clean_events
    repeats = settings.tasks[settings.default_task].repeats
    task = CanaryTask(settings.split.target, repeats, settings.split.min_users_per_item)
    known = events_between(events, None, window.end)  # later events may be of wrong clocks
    return run_canary(known, window.reference.cut, window.end, task, settings.seed)


def publish_decision(layout: Layout, record: Mapping[str, Any]) -> None:
    """Publish a decision as Prefect artifacts, and in the log of the run."""
    lines = [f"# {record['state']}: {record['act']}", "", *(f"- {reason}" for reason in record["reasons"])]
    create_markdown_artifact(key="drift-decision", markdown="\n".join(lines))
    publish_page(layout, "drift-page", layout.loop / record["page"])
    print("\n".join(lines))


def emit_drift_event(layout: Layout, record: Mapping[str, Any]) -> None:
    """Emit the event by which the server's automation starts `retrain`, which ignores keys of completed retrains."""
    emit_event(
        event=DRIFT_EVENT,
        resource={"prefect.resource.id": f"tierrec.project.{layout.root.name}"},
        payload={name: record.get(name) for name in _EVENT_FIELDS},
    )
    print(f"{DRIFT_EVENT} {record['key']}")
