"""Which categories each tier's users go for, before and now: a table that a person can read at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tierrec_core.tiers import TIER_NAMES

CATEGORIES = 20  # told apart in Evidently's charts; more make bars that nobody can read
ROWS = 10  # of the table


@dataclass(frozen=True)
class ShareCell:
    """A share of a tier's acts in the reference and in the current window; None where it has no acts."""

    before: float | None
    now: float | None


@dataclass(frozen=True)
class ShareRow:
    """A category, or several as one; has a cell in each tier."""

    name: str
    cells: tuple[ShareCell, ...]


@dataclass(frozen=True)
class ShareTable:
    """The whole table.

    rows: the largest categories of the reference, largest first
    sums: of all that follow, with and without a bar in Evidently's charts
    widest: the largest share of the rows, to which bars are drawn
    """

    tiers: tuple[str, ...]
    rows: tuple[ShareRow, ...]
    sums: tuple[ShareRow, ...]
    widest: float


def told_apart(reference: pd.DataFrame) -> list[str]:
    """The CATEGORIES that are most frequent in the reference."""
    return list(reference["category"].value_counts().index[:CATEGORIES])


def shares(reference: pd.DataFrame, current: pd.DataFrame, told: list[str]) -> ShareTable:
    """Of what `frames` made; told: those that have a bar in Evidently's charts. In each tier all add up to 1."""
    sides = [_of_tiers(frame) for frame in (reference, current)]
    rows = tuple(ShareRow(str(name), _cells(sides, [name])) for name in told[:ROWS])
    sums, more = [], told[ROWS:]
    if more:
        sums.append(ShareRow(f"the next {len(more)}", _cells(sides, more)))
    if any(len(one.index.difference(told)) for side in sides for one in side):
        names = sorted({name for side in sides for one in side for name in one.index} - set(told))
        sums.append(ShareRow("all others", _cells(sides, names)))
    found = [share for row in rows for cell in row.cells for share in (cell.before, cell.now)]
    return ShareTable(tuple(TIER_NAMES), rows, tuple(sums), max((one or 0.0 for one in found), default=0.0))


def _of_tiers(frame: pd.DataFrame) -> list[pd.Series]:
    """Shares of each tier's acts by category; empty for a tier without acts."""
    return [
        frame.loc[frame["tier"] == tier, "category"].value_counts(normalize=True).astype(float)
        for tier in TIER_NAMES
    ]


def _cells(sides: Sequence[Sequence[pd.Series]], names: list[str]) -> tuple[ShareCell, ...]:
    before, now = (
        [float(one.reindex(names, fill_value=0.0).sum()) if len(one) else None for one in side]
        for side in sides
    )
    return tuple(ShareCell(*pair) for pair in zip(before, now, strict=True))
