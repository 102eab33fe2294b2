"""Leaderboards from metrics.json, one per task, with intervals, paired differences and tiers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_METRIC = re.compile(r"(?!delta_)[a-z_]+@\d+")
_ORDER = ("ndcg", "recall", "mrr", "hit", "coverage")


@dataclass(frozen=True)
class FigureWithInterval:
    """A metric with its 95% interval, which may be unknown (None)."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def read(cls, block: Mapping[str, Any], name: str) -> Self | None:
        """Read `name` and `name`_ci from a block of metrics.json; None where it is missing."""
        value = block.get(name)
        if not isinstance(value, int | float):
            return None
        low, high = block.get(f"{name}_ci") or (None, None)
        return cls(value, low, high)

    @property
    def sign(self) -> str:
        """better or worse where the interval excludes zero, else even."""
        if self.low is not None and self.low > 0:
            return "better"
        return "worse" if self.high is not None and self.high < 0 else "even"


@dataclass(frozen=True)
class LeaderboardRow:
    """One model's row; delta: paired difference to the model `against`; tiers: the main metric by tier."""

    model: str
    main: FigureWithInterval
    figures: Mapping[str, float]
    delta: FigureWithInterval | None
    against: str
    tiers: Mapping[str, FigureWithInterval]


@dataclass(frozen=True)
class LeaderboardTable:
    """One task's leaderboard, best first.

    metric: the main metric, by which models are ranked
    columns, further: metrics at the same cutoff, and at other cutoffs
    top: right end of the axis that starts at zero
    users: number of evaluated users, overall (key "") and by tier
    """

    task: str
    metric: str
    columns: tuple[str, ...]
    further: tuple[str, ...]
    entries: tuple[LeaderboardRow, ...]
    tiers: tuple[str, ...]
    users: Mapping[str, int]
    top: float

    @classmethod
    def of(cls, task: str, models: Mapping[str, Mapping[str, Any]]) -> Self | None:
        """Read one task's block of metrics.json; None without metrics."""
        metrics = {key for block in models.values() for key in block if _METRIC.fullmatch(key)}
        if not metrics:
            return None
        main, *others = sorted(metrics, key=_metric_order)
        rows = [row for name, block in models.items() if (row := _entry(name, block, main, others))]
        entries = tuple(sorted(rows, key=lambda row: (-row.main.value, row.model)))
        tiers = tuple(dict.fromkeys(tier for entry in entries for tier in entry.tiers))
        same_cutoff = tuple(name for name in others if name.partition("@")[2] == main.partition("@")[2])
        further = tuple(name for name in others if name not in same_cutoff)
        top = max((entry.main.high or entry.main.value for entry in entries), default=0.0) or 1.0
        return cls(task, main, same_cutoff, further, entries, tiers, _users(models), top)

    @property
    def baseline(self) -> LeaderboardRow | None:
        """The model that the others are compared with."""
        names = {entry.against for entry in self.entries if entry.against}
        return next((entry for entry in self.entries if entry.model in names), None)

    def percent(self, value: float) -> float:
        """Position on the axis, in percent of its length."""
        return round(100 * value / self.top, 2)

    def heat(self, value: float) -> float:
        """The value scaled to the tier table's range, from 0 to 1."""
        values = [estimate.value for entry in self.entries for estimate in entry.tiers.values()]
        low, high = min(values), max(values)
        return round((value - low) / (high - low), 3) if high > low else 0.0


def read_boards(metrics: Mapping[str, Any]) -> list[LeaderboardTable]:
    """Boards of all tasks in metrics.json, `next` first as it is the main one."""
    blocks = {
        task: {name: block for name, block in models.items() if isinstance(block, Mapping)}
        for task, models in metrics.items()
        if isinstance(models, Mapping)
    }
    boards = [board for task, models in blocks.items() if (board := LeaderboardTable.of(task, models))]
    return sorted(boards, key=lambda board: task_order(board.task))


def task_order(task: str) -> tuple[bool, str]:
    """Sort key of tasks; `next`, the main one, comes first."""
    return task != "next", task


def _entry(name: str, block: Mapping[str, Any], metric: str, others: list[str]) -> LeaderboardRow | None:
    main = FigureWithInterval.read(block, metric)
    if main is None:
        return None
    delta = block.get(f"delta_{metric}") or {}
    tiers = {tier: FigureWithInterval.read(part, metric) for tier, part in (block.get("by_tier") or {}).items()}
    return LeaderboardRow(
        model=name,
        main=main,
        figures={other: block[other] for other in others if isinstance(block.get(other), int | float)},
        delta=FigureWithInterval(delta["value"], *delta.get("ci", (None, None))) if "value" in delta else None,
        against=delta.get("against", ""),
        tiers={tier: estimate for tier, estimate in tiers.items() if estimate},
    )


def _users(models: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Evaluated users; the same for every model."""
    block = next(iter(models.values()))
    parts = {"": block, **(block.get("by_tier") or {})}
    return {tier: part["users"] for tier, part in parts.items() if "users" in part}


def _metric_order(name: str) -> tuple[int, int, str]:
    stem, _, cutoff = name.partition("@")
    return int(cutoff), _ORDER.index(stem) if stem in _ORDER else len(_ORDER), stem
