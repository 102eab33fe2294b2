"""Shares of each tier's interactions by category, in the reference and in the current window, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tierrec_core.tiers import TIER_NAMES

CHART_CATEGORIES = 20  # with a bar in Evidently's charts
TABLE_ROWS = 10


@dataclass(frozen=True)
class ShareCell:
    """A share of a tier's interactions in the reference and in the current window; None where it has none."""

    before: float | None
    now: float | None


@dataclass(frozen=True)
class ShareRow:
    """One category, or several summed; a cell for each tier."""

    name: str
    cells: tuple[ShareCell, ...]


@dataclass(frozen=True)
class ShareTable:
    """The whole table.

    rows: the largest categories of the reference, largest first
    sums: sums over the remaining categories, with and without a bar in Evidently's charts
    largest: the largest share of the rows, the scale of their bars
    """

    tiers: tuple[str, ...]
    rows: tuple[ShareRow, ...]
    sums: tuple[ShareRow, ...]
    largest: float


def largest_categories(reference: pd.DataFrame) -> list[str]:
    """The CHART_CATEGORIES most frequent categories of the reference."""
    return list(reference["category"].value_counts().index[:CHART_CATEGORIES])


def category_shares(reference: pd.DataFrame, current: pd.DataFrame, charted: list[str]) -> ShareTable:
    """Table of two frames from `sample_window`; charted: categories with a bar. Each tier's column sums to 1."""
    sides = [_tier_shares(frame) for frame in (reference, current)]
    rows = tuple(ShareRow(str(name), _cells(sides, [name])) for name in charted[:TABLE_ROWS])
    sums, more = [], charted[TABLE_ROWS:]
    if more:
        sums.append(ShareRow(f"the next {len(more)}", _cells(sides, more)))
    others = sorted({name for side in sides for tier in side for name in tier.index} - set(charted))
    if others:
        sums.append(ShareRow("all others", _cells(sides, others)))
    shares = [share or 0.0 for row in rows for cell in row.cells for share in (cell.before, cell.now)]
    return ShareTable(tuple(TIER_NAMES), rows, tuple(sums), max(shares, default=0.0))


def _tier_shares(frame: pd.DataFrame) -> list[pd.Series]:
    """Shares of each tier's interactions by category; empty for a tier without interactions."""
    return [
        frame.loc[frame["tier"] == tier, "category"].value_counts(normalize=True).astype(float) for tier in TIER_NAMES
    ]


def _cells(sides: Sequence[Sequence[pd.Series]], names: list[str]) -> tuple[ShareCell, ...]:
    before, now = (
        [float(tier.reindex(names, fill_value=0.0).sum()) if len(tier) else None for tier in side] for side in sides
    )
    return tuple(ShareCell(*pair) for pair in zip(before, now, strict=True))
