"""The project's lock between real processes: one at a time, and a killed holder holds nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.project.lock import project_lock, read_lock_holder
from tests.support.prefect_workers import wait_until
from tests.support.projects import ENV, ROOT

HOLD = """
import sys, time
from pathlib import Path
from flows.project.lock import project_lock
root, who = Path(sys.argv[1]), sys.argv[2]
with project_lock(root, who, lambda text: print(text, flush=True)):
    for _ in range(int(sys.argv[3])):
        (root / "held").open("a").write(who + chr(10))
        time.sleep(0.05)
    while len(sys.argv) > 4 and not (root / sys.argv[4]).exists():
        time.sleep(0.05)
"""


def start(root: Path, who: str, turns: int, *until: str) -> subprocess.Popen[str]:
    """Holds the lock for some turns and, where a file is named, until that exists."""
    command = [sys.executable, "-c", HOLD, str(root), who, str(turns), *until]
    return subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, text=True)


def test_a_second_process_waits_and_names_the_holder(tmp_path: Path) -> None:
    with start(tmp_path, "train", 10, "go") as first:
        wait_until((tmp_path / "held").exists, "the first")
        with start(tmp_path, "retrain", 5) as second:
            assert second.stdout is not None
            message = second.stdout.readline()
            (tmp_path / "go").touch()
            assert (first.wait(), second.wait()) == (0, 0)
    assert message.startswith(f"retrain: waits for train (pid {first.pid} on ")
    assert (tmp_path / "held").read_text().split() == ["train"] * 10 + ["retrain"] * 5
    assert read_lock_holder(tmp_path) is None


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "train", 100_000) as first:
        wait_until((tmp_path / "held").exists, "the first")
        first.kill()
        first.wait()
    messages: list[str] = []
    with project_lock(tmp_path, "next", messages.append):
        holder = read_lock_holder(tmp_path)
        assert holder is not None
        assert holder.startswith(f"next (pid {os.getpid()} on ")
    assert messages == []


def test_the_lock_is_released_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), project_lock(tmp_path, "fails"):
        raise KeyError("work")
    messages: list[str] = []
    with project_lock(tmp_path, "next", messages.append):
        assert messages == []
    assert read_lock_holder(tmp_path) is None
