"""Known items whose category in the catalogue is another one than at the champion's cut."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from monitoring.drift.feed.catalogue import CatalogueSnapshot
from monitoring.drift.feed.fault import FeedFault, format_day
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import IntArray

_MIN_SHARE = 0.002  # of the rows: a new category of this share is drift to the tests of behaviour
_MOST = 0.9  # of a category's rows
_NAMED = 4


def changed_categories(
    window: FeedLog, now: CatalogueSnapshot, known: CatalogueSnapshot, cut: float
) -> Iterator[FeedFault]:
    """A fault when known items changed category; the same id has one category, so that no change is due to chance."""
    index = now.of_ids(known.items)
    old = pd.Series(np.append(known.categories, "")[known.category], known.items)
    new = pd.Series(np.append(now.categories, "")[np.append(now.category, -1)[index]], known.items)
    moved = (old != "") & (new != "") & (old != new)
    rows = _rows_of(window, known.items)
    share = float(rows[moved.to_numpy()].sum() / max(window.num_rows, 1))
    if share < _MIN_SHARE:
        return
    moves = pd.DataFrame({"old": old, "new": new, "rows": rows})[moved]
    what, changes = _describe(moves, pd.Series(rows, known.items).groupby(old).sum(), set(known.categories))
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    yield FeedFault.of(
        "taxonomy",
        what,
        f"{', '.join(changes[:_NAMED])}{more}; {len(moves):,} known items with {share:.1%} of the events",
        f"under {_MIN_SHARE:.1%}",
        since=f"some day after {format_day(cut)}, when the champion learned the categories",
        sure="certain: the same item ids have other categories",
    )


def _rows_of(window: FeedLog, items: pd.Index) -> IntArray:
    """Rows of each of these items, [I]."""
    count = np.append(np.bincount(window.item, minlength=len(window.items)), 0)
    return count[window.items.get_indexer(items)]


def _describe(moves: pd.DataFrame, rows_of_old: pd.Series, known_names: set[str]) -> tuple[str, list[str]]:
    """What happened, and each change, the one with most rows first."""
    flows = moves.groupby(["old", "new"])["rows"].sum().reset_index()
    flows = flows.sort_values(["rows", "old"], ascending=[False, True])
    whole = flows["rows"] >= _MOST * rows_of_old.reindex(flows["old"]).to_numpy()
    sources = flows[whole].groupby("new")["old"].agg(list)
    told: dict[str, None] = {}
    merged = renamed = 0
    for old, new, rows, is_whole in zip(flows["old"], flows["new"], flows["rows"], whole, strict=True):
        group = sources.get(new, []) if is_whole else []
        if len(group) > 1 or (is_whole and new in known_names):
            merged += rows
            told[f"{' and '.join(map(repr, group))} merged into {new!r}"] = None
        elif is_whole:
            renamed += rows
            told[f"{old!r} became {new!r}"] = None
        else:
            told[f"items of {old!r} moved to {new!r}"] = None
    total = flows["rows"].sum()
    what = "categories were merged" if merged > total / 2 else "categories were renamed"
    return (what if merged + renamed > total / 2 else "items changed category"), list(told)
