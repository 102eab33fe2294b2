"""Jobs of a benchmark: results in their order, and an interrupted run that goes on."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from benchmarks.drift import parallel
from benchmarks.drift.benchmark import RESULT
from benchmarks.drift.detection_trials import DetectionTrial
from benchmarks.drift.parallel import Job, run_jobs
from tests.support.failing_jobs import numbers

NUMBERS = TypeAdapter(list[int])


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    log, kept = tmp_path / "log", tmp_path / "kept"
    jobs = [Job(f"job-{first}", numbers, (log, first)) for first in (0, 1, 2)]
    with pytest.raises(ValueError, match="interrupted"):
        parallel.run_in(kept, jobs, 1, NUMBERS)
    log.with_name("repaired").touch()
    assert parallel.run_in(kept, jobs, 1, NUMBERS) == [[0, 1], [1, 2], [2, 3]]
    assert log.read_text().split() == ["0", "1", "2", "2"]


def test_quick_runs_keep_nothing(tmp_path: Path) -> None:
    jobs = [Job("one", numbers, (tmp_path / "log", 5))]
    assert run_jobs(jobs, 1, NUMBERS, keep=False) == [[5, 6]]
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


def test_trials_and_figures_are_read_as_they_were_written() -> None:
    trial = DetectionTrial("w", 140.0, "placebo", "", "steady", ("r",), ("f/all",), {"ours": False}, 0, 28.0)
    for result in ([trial], {"regret": 0.25, "alarms": ["a"]}, []):
        assert RESULT.validate_json(RESULT.dump_json(result)) == result
