"""Remote stages without a server: queues, liveness of runs, errors, and passwords in URLs."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Cancelling, Failed, Pending, Running

from flows.gpu.stage_dispatcher import _explain
from flows.gpu.work_pool import _without_password
from flows.graph.dvc_graph import TransientStageError, _queue
from flows.liveness import LABEL, SILENCE_SECONDS, ProcessRecord, RunLiveness, SilenceTracker
from tierrec_core.base.errors import StageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG, SHORT = 2 * SILENCE_SECONDS, SILENCE_SECONDS / 2
RAISED = "Flow run encountered an exception"


@pytest.mark.parametrize(
    ("meta", "queue"),
    [
        (None, ""),
        ({}, ""),
        ({"owner": "somebody"}, ""),
        ({"queue": "gpu"}, "gpu"),
        ({"queue": "gpu", "kind": "sasrec", "kinds": ["symmetric_mf", "sasrec"]}, "gpu"),
        ({"queue": "gpu", "kind": "ease", "kinds": ["symmetric_mf", "sasrec"]}, ""),
        ({"queue": "gpu", "kinds": []}, ""),
    ],
)
def test_a_stage_asks_for_a_queue_when_its_kind_is_named_or_no_kinds_are(meta: object, queue: str) -> None:
    assert _queue(meta) == queue


@pytest.mark.parametrize(
    ("liveness", "is_dead"),
    [
        (RunLiveness("alive"), False),
        (RunLiveness("alive", LONG, worker_online=False), False),
        (RunLiveness("dead"), True),
        (RunLiveness("dead", worker_online=True), True),
        (RunLiveness("unknown", SHORT), False),
        (RunLiveness("unknown", SHORT, worker_online=False), False),
        (RunLiveness("unknown", LONG), True),
        (RunLiveness("unknown", LONG, worker_online=True), True),
        (RunLiveness("unknown", LONG, has_heartbeat=False), False),
        (RunLiveness("unknown", LONG, has_heartbeat=False, worker_online=True), False),
        (RunLiveness("unknown", LONG, has_heartbeat=False, worker_online=False), True),
    ],
)
def test_a_run_is_dead_only_without_a_process_or_heartbeats(liveness: RunLiveness, is_dead: bool) -> None:
    assert (liveness.cause_of_death() is not None) is is_dead


def test_silence_is_measured_from_the_last_new_heartbeat_by_the_observers_clock() -> None:
    moments = iter([0.0, 50.0, 60.0, 100.0, 110.0, 150.0])
    tracker, state = SilenceTracker(lambda: next(moments)), Running(timestamp=NOW)
    first = FlowRun(flow_id=uuid4(), state=state, labels={LABEL: "far 1 2 then"})
    assert not tracker.is_waiting
    assert [tracker.silence(first), tracker.silence(first), tracker.is_waiting] == [0, 50, True]
    later = first.model_copy(update={"labels": {LABEL: "far 1 2 a-year-before-then"}})
    assert [tracker.silence(later), tracker.silence(later), tracker.is_waiting] == [0, 40, False]
    tracker.reset(keep={later.id})
    assert tracker.silence(later) == 50
    tracker.reset()
    assert tracker.silence(later) == 0


def run_with(state: object, record: ProcessRecord | str) -> FlowRun:
    return FlowRun(flow_id=uuid4(), state=state, labels={LABEL: str(record)})


def test_a_record_survives_its_label() -> None:
    record = ProcessRecord.make(NOW)
    assert (record.host, record.pid, record.at) == (platform.node(), os.getpid(), NOW)
    assert ProcessRecord.read(run_with(Running(timestamp=NOW - timedelta(seconds=1)), record)) == record


@pytest.mark.parametrize("text", ["", "somewhere", "host 12", "host a b c", "host 1 2 not-a-time"])
def test_other_labels_are_no_record(text: str) -> None:
    assert ProcessRecord.read(run_with(Running(timestamp=NOW), text)) is None


def test_a_record_from_before_a_pause_is_ignored_unless_the_run_is_being_cancelled() -> None:
    record, later = ProcessRecord.make(NOW), NOW + timedelta(minutes=1)
    assert ProcessRecord.read(run_with(Pending(timestamp=later), record)) is None
    assert ProcessRecord.read(run_with(Running(timestamp=later), record)) is None
    assert ProcessRecord.read(run_with(Cancelling(timestamp=later), record)) == record


def test_a_process_is_identified_by_its_fingerprint() -> None:
    mine = ProcessRecord.make(NOW)
    assert mine.process_state() == "alive"
    assert ProcessRecord(mine.host, mine.pid, mine.fingerprint + 1, NOW).process_state() == "dead"
    assert ProcessRecord("elsewhere", mine.pid, mine.fingerprint, NOW).process_state() == "unknown"
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert ProcessRecord(mine.host, process.pid, mine.fingerprint, NOW).process_state() == "dead"


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (Failed(message=f"{RAISED}: StageError: deep: rows: bad"), StageError, "deep: rows: bad"),
        (Failed(message=f"{RAISED}: TransientStageError: deep: killed"), TransientStageError, "deep: killed"),
        (Failed(message="it is over"), StageError, "deep: it is over"),
        (
            Cancelled(message="by hand"),
            StageError,
            "deep: it was cancelled on the server (by hand); `tierrec run` sends it again",
        ),
    ],
)
def test_a_remote_end_keeps_its_kind_and_message(state: State, kind: type[StageError], text: str) -> None:
    error = _explain("deep", FlowRun(flow_id=uuid4(), state=state), stopped=False)
    assert type(error) is kind
    assert str(error) == text


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://somebody:secret@git.example/shop.git", "https://git.example/shop.git"),
        ("https://git.example/shop.git", "https://git.example/shop.git"),
        ("git@git.example:shop.git", "git@git.example:shop.git"),
        ("/srv/shop.git", "/srv/shop.git"),
    ],
)
def test_a_worker_gets_no_password(url: str, sent: str) -> None:
    assert _without_password(url) == sent
