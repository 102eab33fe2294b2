"""Reads the stage graph from DVC, finds stale stages, and runs each stage as a process that can be stopped."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from flows.graph.dvc_locks import repair_dvc_lock, repair_dvc_lock_file
from tierrec_core.base.errors import SettingsError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from tierrec_core.sources.input_files.manifest import is_manifest_current
from tierrec_core.stage_code import write_code_versions

SOURCE = "source"
Listener = Callable[[str, str], None]
_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock", "another DVC process")
_NOISE = (
    "ERROR: failed to reproduce",
    "Running stage '",
    "> ",
    "Updating lock file",
    "Generating lock file",
    "Pulling data for stage",
    "Unable to pull data for stage",
    "WARNING: No file hash info found for",
    "Use `dvc push`",
    "To track the changes with git",
    "\tgit add",
    "To enable auto staging",
    "\tdvc config",
)
_MAX_LINES = 30
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds
_HINTS = {
    "item.kind": "; set `kind` in every block of models",
    "not a git repository": "; restore .git, or run `git init`",
    "not inside of a DVC repository": "; restore .dvc, or run `dvc init`",
}
_SIGNALLED, _DVC_FAILED = 128, 255  # codes between them are 128 + a signal; 255 is DVC's own failure


class TransientStageError(StageError):
    """A stage failed for a reason that may not recur: DVC's lock, or a signal."""


@dataclass(frozen=True)
class StageGraph:
    """The stages of dvc.yaml: upstream[stage] are the stages whose outputs it reads, in order of execution.

    queues[stage] is the work pool that the stage's `meta` asks for, if any.
    """

    upstream: Mapping[str, frozenset[str]]
    queues: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "StageGraph":
        """Read the project's dvc.yaml. Raises SettingsError when DVC cannot."""
        with _open(root) as repo:
            graph = nx.relabel_nodes(repo.index.graph, lambda stage: str(stage.name))
            metas = {str(stage.name): getattr(stage, "meta", None) for stage in repo.index.stages}
        order = reversed(list(nx.lexicographical_topological_sort(graph)))
        queues = {stage: queue for stage, meta in metas.items() if (queue := _queue(meta))}
        return cls({stage: frozenset(graph.successors(stage)) for stage in order}, queues)

    def ancestors(self, stage: str) -> set[str]:
        """All stages that a stage depends on, directly or not."""
        direct = self.upstream[stage]
        return set(direct).union(*(self.ancestors(parent) for parent in direct))

    def affected(self, changed: set[str]) -> list[str]:
        """The changed stages and all that depend on them, in order of execution."""
        return [stage for stage in self.upstream if stage in changed or changed & self.ancestors(stage)]


def _queue(meta: Any) -> str:
    """The queue in a stage's `meta`: {queue: gpu}, or with {kind: sasrec, kinds: [sasrec, multitask]} in a foreach."""
    if not isinstance(meta, Mapping) or not meta.get("queue"):
        return ""
    return str(meta["queue"]) if "kinds" not in meta or meta.get("kind") in meta["kinds"] else ""


@contextlib.contextmanager
def locked_repo(root: Path) -> Iterator[Repo]:
    """The project's DVC repository, with DVC's lock held. Raises TransientStageError when it is busy."""
    with _open(root) as repo, repo.lock:
        repair_dvc_lock_file(root)
        repair_dvc_lock(Layout(root).dvc_lock)
        yield repo


def find_stale_stages(root: Path, stages: list[str] | None = None) -> set[str]:
    """Stages (of the given ones; None = of all) whose command, params, deps or outs differ from dvc.lock.

    A killed process may hold DVC's lock for a moment, so a busy DVC is retried a few times.
    """
    for pause in _PAUSES:
        try:
            return _stale(root, stages)
        except TransientStageError:
            time.sleep(pause)
    return _stale(root, stages)


def _stale(root: Path, stages: list[str] | None) -> set[str]:
    with locked_repo(root) as repo:
        selected = [stage for stage in repo.index.stages if stages is None or stage.name in stages]
        stale = {str(stage.name): stage.status() for stage in selected}
    # DVC always reports this stage, so that `dvc repro` runs it each time; it is stale if the files have changed.
    if list(stale.get(SOURCE, {}).values()) == [["always changed"]]:
        layout = Layout(root)
        if is_manifest_current(read_settings(layout.params).source, layout):
            del stale[SOURCE]
    return {name for name, changes in stale.items() if changes}


@contextlib.contextmanager
def _open(root: Path) -> Iterator[Repo]:
    try:
        write_code_versions(root)
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except LockError as error:
        raise TransientStageError(f"{root}: DVC is busy: {error}") from error
    except TypeError as error:
        raise SettingsError(f"{root}: DVC cannot read params.yaml: {error}; put a date in quotes") from error
    except DvcException as error:
        hint = next((hint for text, hint in _HINTS.items() if text in str(error)), "")
        raise SettingsError(f"{Layout(root).dvc_yaml}: {' '.join(str(error).split())}{hint}") from error
    except (sqlite3.Error, OSError) as error:
        raise StageError(
            f"{root}: DVC could not read or write its files: {error}; check the free disk space, then run again"
        ) from error


class StageRunner:
    """Runs stages of one project; `stop` ends those that are running and prevents new ones.

    environment: additional variables for the stages
    """

    def __init__(self, root: Path, listen: Listener, environment: Mapping[str, str] | None = None) -> None:
        self.root, self._listen, self._environment = root, listen, dict(environment or {})
        self._running: set[subprocess.Popen[str]] = set()
        self._lock, self._stopped = threading.Lock(), False

    def run(self, stage: str, *, pull: bool = False) -> None:
        """Bring one stage up to date; with `pull`, outputs that the DVC remote has are fetched from it.

        Raises StageError with the stage's last lines when it fails.
        """
        write_code_versions(self.root)
        self.dvc(stage, "repro", *(["--pull"] if pull else []), "--single-item", stage)

    def dvc(self, stage: str, *arguments: str) -> None:
        """Run a DVC command and report its output as the stage's. Raises StageError when it fails."""
        process = self._start(stage, arguments)
        lines: deque[str] = deque(maxlen=_MAX_LINES)
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if line.strip() and not line.startswith(_NOISE):
                    self._listen(stage, line.rstrip())
            code = process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if code:
            raise _explain(stage, code, list(lines), self._stopped)

    def stop(self) -> None:
        """Kill every running stage and its children."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            _kill(process)

    def _start(self, stage: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
        path = os.pathsep.join((str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")))
        dvc = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
        variables = {"PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
        defaults = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads of stages that run at once would wait for a core in a loop
        with self._lock:
            if self._stopped:
                raise StageError(f"{stage}: not started, since the run was stopped; `tierrec run` resumes")
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.graph.process_guard", *dvc],
                cwd=self.root,
                env=defaults | os.environ | variables | self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        return process


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _explain(stage: str, code: int, lines: list[str], stopped: bool) -> StageError:
    """The most informative error: the stage's own `error:` lines, else its last ones."""
    if stopped:
        return StageError(f"{stage}: stopped; `tierrec run` resumes here")
    if any(message in line for line in lines for message in _BUSY):
        return TransientStageError(f"{stage}: DVC's lock is held by another process; try again when it is done")
    output = [line for line in lines if line.strip() and not line.startswith(_NOISE)]
    starts = [number for number, line in enumerate(output) if line.startswith("error: ")]
    if starts:
        return StageError(f"{stage}: {' '.join(output[starts[-1] :][:3]).removeprefix('error: ')}")
    last = "\n".join(output[-3:] or lines[-3:]) or "no output"
    if _SIGNALLED < code < _DVC_FAILED or any("exited with -" in line for line in lines):
        return TransientStageError(f"{stage}: killed by a signal (out of memory?); last lines:\n{last}")
    return StageError(f"{stage}: ended with code {code}; last lines:\n{last}")
