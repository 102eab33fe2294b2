"""Shares of each tier's interactions by category, in the reference and in the current window, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

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


def category_shares(
    reference: pd.DataFrame, current: pd.DataFrame, charted: list[str], tiers: Sequence[str]
) -> ShareTable:
    """Table of two frames from `sample_window`; charted: categories with a bar. Each tier's column sums to 1."""
    sides = [_shares(frame, tiers) for frame in (reference, current)]
    rows = tuple(_row(str(name), sides, [name]) for name in charted[:TABLE_ROWS])
    sums, more = [], charted[TABLE_ROWS:]
    if more:
        sums.append(_row(f"the next {len(more)}", sides, more))
    others = sorted({name for side in sides for tier in side for name in tier.index} - set(charted))
    if others:
        sums.append(_row("all others", sides, others))
    largest = max(
        (share or 0.0 for row in rows for cell in row.cells for share in (cell.before, cell.now)), default=0.0
    )
    return ShareTable(tuple(tiers), rows, tuple(sums), largest)


def _shares(frame: pd.DataFrame, tiers: Sequence[str]) -> list[pd.Series]:
    """Shares of each tier's interactions by category; empty for a tier without interactions."""
    return [frame.loc[frame["tier"] == tier, "category"].value_counts(normalize=True).astype(float) for tier in tiers]


def _row(name: str, sides: Sequence[Sequence[pd.Series]], categories: list[str]) -> ShareRow:
    before, now = (
        [float(tier.reindex(categories, fill_value=0.0).sum()) if len(tier) else None for tier in side]
        for side in sides
    )
    return ShareRow(name, tuple(map(ShareCell, before, now)))
