"""Finds the columns that number the lines of each order: 1, 2, 3 or 10, 20, 30."""

import pandas as pd

_MIN_NUMBERED, _MIN_SIMILAR = 0.9, 0.9
_MIN_ORDERS = 5


def line_numbers(sample: pd.DataFrame, time: str, user: str | None) -> frozenset[str]:
    """The columns whose values begin anew in each order; an order has one time, and all of its rows have one value of
    another column or, where none does so, one user."""
    others = [name for name in map(str, sample.columns) if name != time]
    moments = sample[time].astype("string").fillna("")
    keys = {name: sample[name].astype("string") for name in others}
    if user:
        keys |= {"": moments.str.cat(keys[user].fillna(""), sep="\x1f")}
    sizes = {name: cells.nunique() for name, cells in keys.items()}
    found = set[str]()
    for name in others:
        ranks = _ranks(sample[name])
        num_orders = int((ranks == 0).sum())
        alike = (
            key for key, size in sizes.items() if key != name and _MIN_SIMILAR <= size / max(num_orders, 1) <= 1.01
        )
        if num_orders >= _MIN_ORDERS and any(_counts_up(ranks, keys[key], moments) for key in alike):
            found.add(name)
    return frozenset(found)


def _ranks(cells: pd.Series) -> pd.Series:
    """The place of each number in equal steps from 0, 1 or the first step, [N]; none for other cells."""
    numbers = pd.to_numeric(cells, errors="coerce").astype("Float64")
    kinds = numbers.drop_duplicates().dropna().sort_values().head(2).tolist()
    if len(kinds) < 2 or kinds[0] not in (0, 1, kinds[1] - kinds[0]):
        return pd.Series([], dtype="Float64")
    return (numbers - kinds[0]) / (kinds[1] - kinds[0])


def _counts_up(ranks: pd.Series, orders: pd.Series, moments: pd.Series) -> bool:
    """Whether nearly every order has one time and the numbers from the first to that of its lines, each once."""
    rows = pd.DataFrame({"rank": ranks, "moment": moments})
    groups = rows.groupby(orders)
    is_counted = (groups["rank"].max() + 1 == groups.size()) & (groups["rank"].nunique() == groups.size())
    return bool(((groups["moment"].nunique() == 1) & is_counted).fillna(False).mean() >= _MIN_NUMBERED)
