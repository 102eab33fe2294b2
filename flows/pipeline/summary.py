"""The summary of a run: leaderboard, tier sizes, time and memory against the budget."""

import os
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from flows.stack.supervision.processes import resident_memory
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import MIN_TEST_USERS

BUDGET_SECONDS, BUDGET_IDLE_SECONDS, BUDGET_GIB = 480.0, 20.0, 6.0
_COLUMNS = ("ndcg@10", "recall@10", "coverage@10")


@dataclass(frozen=True)
class Leaderboard:
    """An excerpt of metrics.json: the models' metrics by task, best NDCG@10 first, and the number of users by tier."""

    tasks: dict[str, list[dict[str, Any]]]
    tiers: dict[str, int]

    @classmethod
    def read(cls, layout: Layout) -> Self:
        """Raises ArtifactError when metrics.json is missing or was not written by `evaluate`."""
        metrics = artifacts.read_json(layout.metrics)
        try:
            tiers = metrics["tiers"]["sizes"]
            boards = {task: block for task, block in metrics.items() if task not in ("tiers", "audit")}
            tasks = {task: [_row(name, metrics) for name, metrics in block.items()] for task, block in boards.items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{layout.metrics}: lacks {error}; run the evaluate stage again") from error
        return cls({task: sorted(rows, key=_ndcg, reverse=True) for task, rows in tasks.items()}, tiers)


def _row(name: str, block: dict[str, Any]) -> dict[str, Any]:
    columns = ("users", *_COLUMNS)
    return {"model": name, "ci": block.get("ndcg@10_ci")} | {column: block.get(column) for column in columns}


def _ndcg(row: dict[str, Any]) -> float:
    return float(row["ndcg@10"] or 0.0)


class PeakMemory:
    """Samples the resident memory of this process and its descendants; peak in GiB."""

    def __init__(self, period: float = 0.5) -> None:
        self.peak = 0.0
        self._period, self._done = period, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, resident_memory(os.getpid()) / 2**30)
            if self._done.wait(self._period):
                return


@dataclass(frozen=True)
class Summary:
    """One run: seconds of each stage that ran, wall seconds, peak GiB, and the leaderboard if there is one."""

    stages: dict[str, float]
    seconds: float
    peak_gib: float
    leaderboard: Leaderboard | None = None
    ended: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def save(self, layout: Layout) -> Path:
        """Write it as JSON among the runs, named by the time in UTC."""
        path = layout.runs / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
        artifacts.write_json(asdict(self), path)
        return path

    def show(self, console: Console, layout: Layout) -> None:
        """Print the leaderboard, the tiers, and the budgets."""
        if self.leaderboard:
            for task, rows in self.leaderboard.tasks.items():
                console.print(_table(task, rows))
                if (users := rows[0]["users"] or 0) < MIN_TEST_USERS:
                    console.print(
                        f"Task {task}: {users} users are few to judge by (wanted {MIN_TEST_USERS}); "
                        f"give a longer log, or a longer tasks.{task}.horizon_days with an earlier cut",
                        soft_wrap=True,
                    )
            sizes = ", ".join(f"{name} {users}" for name, users in self.leaderboard.tiers.items())
            console.print(f"Tiers (users): {sizes}")
        budget = BUDGET_SECONDS if self.stages else BUDGET_IDLE_SECONDS
        console.print(
            f"{len(self.stages)} stages ran in {self.seconds:.1f} s (budget {budget:.0f} s), "
            f"peak memory {self.peak_gib:.1f} GiB (budget {BUDGET_GIB:.0f} GB)"
        )
        if layout.report.exists():
            console.print(f"Report: {layout.report}", soft_wrap=True)
        console.print("Next: tierrec serve")


def _table(task: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("model", "ndcg@10", "95% interval", *_COLUMNS[1:], title=f"Task {task} ({rows[0]['users']} users)")
    for row in rows:
        low_high = " – ".join(f"{bound:.4f}" for bound in row["ci"] or ())
        values = ["" if row[column] is None else f"{row[column]:.4f}" for column in _COLUMNS]
        table.add_row(row["model"], values[0], low_high, *values[1:])
    return table
