"""Real faults for the flows of a loop: kills at a chosen moment, a stage that is held there, a disk that is full."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tests.support.prefect_workers import Server

RETRAIN = "import json, sys; from pathlib import Path; from flows.pipeline.embedded_server import configure_prefect; \
configure_prefect(Path.cwd()); from flows.loop.retrain import retrain; print(retrain(decision=json.loads(sys.argv[1])))"
MONITOR = "from pathlib import Path; from flows.pipeline.embedded_server import configure_prefect; \
configure_prefect(Path.cwd()); from flows.loop.monitor import monitor; print(monitor())"
_MARK = "TIERREC_TEST_FLOW"
_PYTHON = """#!/bin/sh
echo "began $*" >> '{journal}'
if grep -qxF -- "$*" '{full}' 2> /dev/null; then ulimit -f 200; fi
while grep -qxF -- "$*" '{hold}' 2> /dev/null; do echo "$*" >> '{ticks}'; sleep 0.1; done
'{python}' "$@"
code=$?
echo "ended $code $*" >> '{journal}'
exit $code
"""


class Stages:
    """What the stages of a project did: its graph runs them by a `python` in its own .venv, which keeps a journal.

    That python is ours by another door; a stage that is held goes on for ever and says all the while that it lives.
    """

    def __init__(self, project: Path) -> None:
        names = ("journal", "hold", "full", "ticks")
        self._journal, self._hold, self._full, self.ticks = (project.parent / name for name in names)
        program = project / ".venv" / "bin" / "python"
        program.parent.mkdir(parents=True)
        where = {name: project.parent / name for name in names}
        program.write_text(_PYTHON.format(**where, python=sys.executable))
        program.chmod(0o755)
        with (project / ".git" / "info" / "exclude").open("a") as exclude:
            exclude.write("/.venv/\n")

    @contextlib.contextmanager
    def held(self, stage: str) -> Iterator[None]:
        """Inside, a stage that begins does not end; stage: as `-m tierrec_core train ease`."""
        with _naming(self._hold, stage):
            yield

    @contextlib.contextmanager
    def full_for(self, stage: str) -> Iterator[None]:
        """Inside, a stage that begins can write no file of more than 100 kB, as on a disk that has no more room."""
        with _naming(self._full, stage):
            yield

    @property
    def journal(self) -> list[str]:
        return self._journal.read_text().splitlines() if self._journal.exists() else []

    def done(self) -> Counter[str]:
        """How often each stage ended well."""
        mark = "ended 0 "
        return Counter(line.removeprefix(mark) for line in self.journal if line.startswith(mark))


@contextlib.contextmanager
def _naming(file: Path, stage: str) -> Iterator[None]:
    file.write_text(stage + "\n")
    try:
        yield
    finally:
        file.unlink()


class Flow:
    """A flow in a process group of its own; whatever comes of it is known by its mark, and killed at the end."""

    def __init__(self, project: Path, server: Server, code: str, *arguments: str) -> None:
        self._mark, self._log = str(uuid4()), project.parent / f"said-{uuid4()}"
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", code, *arguments],
                cwd=project,
                env=server.env | {_MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Flow":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for process in self.left_behind():
            process.kill()

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self, seconds: float = 300) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Kill -9, the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def left_behind(self, seconds: float = 0) -> list[psutil.Process]:
        """What still runs of it after at most so many seconds."""
        return psutil.wait_procs(list(self._family()), timeout=seconds)[1]

    def _family(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def retrain(project: Path, server: Server, decision: Mapping[str, Any]) -> Flow:
    """As the automation starts it."""
    return Flow(project, server, RETRAIN, json.dumps(decision))


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[set[str]]:
    """The files below a folder that somebody opens meanwhile."""
    seen: set[str] = set()

    class Watch(FileSystemEventHandler):
        def on_opened(self, event: FileSystemEvent) -> None:
            if not event.is_directory:
                seen.add(str(event.src_path))

    observer = Observer()
    observer.schedule(Watch(), str(folder), recursive=True)
    observer.start()
    try:
        yield seen
    finally:
        observer.stop()
        observer.join()
