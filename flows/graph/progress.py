"""Shows running stages: a live table on a terminal, plain lines elsewhere."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table


@dataclass
class _Row:
    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    line: str = ""


@dataclass
class Progress:
    """Stages with their state, seconds and last line. States: waiting, running, done, unchanged, failed."""

    console: Console
    stages: list[str]
    _rows: dict[str, _Row] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._rows = {stage: _Row() for stage in self.stages}
        self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage that completed."""
        return {stage: round(row.seconds, 2) for stage, row in self._rows.items() if row.state == "done"}

    @contextlib.contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Show the stage as running, then as done, or as failed when an exception leaves the block."""
        with self._lock:
            self._rows[stage].state, self._rows[stage].started = "running", time.monotonic()
        self._print(stage, "running")
        try:
            yield
        except BaseException:
            self.end(stage, "failed")
            raise
        self.end(stage, "done")

    def line(self, stage: str, text: str) -> None:
        """Show a line that the stage printed."""
        with self._lock:
            self._rows[stage].line = text or self._rows[stage].line
        if text:
            self._print(stage, text)

    def end(self, stage: str, state: str) -> None:
        """Show the stage's final state."""
        with self._lock:
            row = self._rows[stage]
            row.state, row.seconds = state, time.monotonic() - row.started if row.started else 0.0
        self._print(stage, f"{state} ({row.seconds:.1f} s)")

    def _print(self, stage: str, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(f"{stage}: {text}", markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table("stage", "state", "seconds", "last line", box=None, pad_edge=False)
        with self._lock:
            for stage, row in self._rows.items():
                seconds = time.monotonic() - row.started if row.state == "running" else row.seconds
                table.add_row(stage, row.state, f"{seconds:.1f}" if row.started else "", row.line[:80])
        return table
