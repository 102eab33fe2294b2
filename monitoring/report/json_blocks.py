"""Lays out any JSON report as tables, so that new keys of a stage's report need no code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

Scalar: TypeAlias = str | int | float | bool | None
_BARS_FROM = 3  # rows
_WIDE_FROM = 5  # columns
_SEPARATOR = " · "
_PHRASES = {
    "ari_mean": "Adjusted Rand index, mean",
    "ari_min": "Adjusted Rand index, least",
    "change_share": "Users who change tier in a month",
    "change_share_without_hysteresis": "The same without hysteresis",
    "cuts": "Cut points of the activity score",
    "eta_squared_next_28_days": "Share of the next 28 days' spend (or purchases) that tiers explain (η²)",
    "flip_share": "Users who leave a tier and are back a month later",
    "flip_share_without_hysteresis": "The same without hysteresis",
    "layers": "Interest layers",
    "monthly": "From month to month",
    "stability": "Stability under the bootstrap",
    "tiers": "Activity tiers",
    "transitions": "Share of a tier's users (row) in each tier a month later",
}
_ACRONYMS = {"ndcg": "NDCG", "mrr": "MRR", "ari": "ARI", "auc": "AUC", "ci": "CI", "id": "id"}


@dataclass(frozen=True)
class JsonTable:
    """Rows under column names; heat: colour numbers by size, bars: draw a bar for each number of the last column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]
    heat: bool = False
    bars: bool = False

    @property
    def largest(self) -> float:
        """The largest number in the table, 0 without one; the scale of heat and bars."""
        return max((abs(cell) for row in self.rows for cell in row if is_number(cell)), default=0.0)

    @property
    def wide(self) -> bool:
        """Whether it needs the page's full width."""
        return len(self.columns) >= _WIDE_FROM

    def share(self, cell: Scalar) -> float:
        """The cell as a share of the largest, 0 to 1."""
        return round(abs(cell) / self.largest, 3) if is_number(cell) and self.largest else 0.0


def json_tables(report: Mapping[str, Any], title: str = "") -> Iterator[JsonTable]:
    """Tables of a JSON object: its scalars first, then its nested values in order, each titled by its key."""
    scalars = {key: value for key, value in report.items() if not _nested(value)}
    if scalars:
        bars = bool(title) and _comparable(list(scalars.values()))
        rows = tuple((readable_label(key), _flat(value)) for key, value in scalars.items())
        yield JsonTable(readable_label(title), ("", ""), rows, bars=bars)
    for key, value in report.items():
        if _nested(value):
            yield from _part(value, f"{title}{_SEPARATOR}{key}" if title else key)


def order_keys(value: Any, first: Sequence[str]) -> Any:
    """A JSON value whose mappings, at any depth, begin with those of these keys that they have, in this order."""
    if isinstance(value, Mapping):
        keys = [*(key for key in first if key in value), *(key for key in value if key not in first)]
        return {key: order_keys(value[key], first) for key in keys}
    return [order_keys(part, first) for part in value] if isinstance(value, list) else value


def readable_label(name: str) -> str:
    """Label of a key, or of a path of keys."""
    return _SEPARATOR.join(_PHRASES.get(part) or _words(part) for part in name.split(_SEPARATOR))


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether the value is a number but not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(name: str) -> str:
    words = re.sub(r"[a-z]+", lambda word: _ACRONYMS.get(word[0], word[0]), name.replace("_", " "))
    return words[:1].upper() + words[1:]


def _part(value: Any, title: str) -> Iterator[JsonTable]:
    if isinstance(value, Mapping):
        if value and all(isinstance(row, Mapping) and not any(map(_nested, row.values())) for row in value.values()):
            yield _matrix(value, title)
        else:
            yield from json_tables(value, title)
    elif all(isinstance(row, Mapping) for row in value):
        yield _records(value, title)
    else:
        rows = [tuple(map(_flat, row if isinstance(row, list) else [row])) for row in value]
        yield _grid(title, ["" for _ in rows[0]], rows)


def _matrix(value: Mapping[str, Mapping[str, Any]], title: str) -> JsonTable:
    """A mapping of mappings: one row per key, one column per inner key."""
    columns = dict.fromkeys(name for row in value.values() for name in row)
    cells = [(readable_label(key), *(_flat(row.get(name)) for name in columns)) for key, row in value.items()]
    return _grid(title, ["", *map(readable_label, columns)], cells)


def _records(value: Sequence[Mapping[str, Any]], title: str) -> JsonTable:
    """A list of mappings: one row each, text columns before numeric ones."""
    names = dict.fromkeys(name for row in value for name in row)
    columns = sorted(names, key=lambda name: any(is_number(row.get(name)) for row in value))
    rows = [tuple(_flat(row.get(name)) for name in columns) for row in value]
    return _grid(title, [readable_label(name) for name in columns], rows)


def _grid(title: str, columns: Sequence[str], rows: Sequence[tuple[Scalar, ...]]) -> JsonTable:
    """A table, with heat where all its cells are shares."""
    cells = [cell for row in rows for cell in row[1:]]
    heat = len(columns) > 2 and bool(cells) and all(is_number(cell) and 0 <= cell <= 1 for cell in cells)
    return JsonTable(readable_label(title), tuple(columns), tuple(rows), heat=heat)


def _nested(value: Any) -> bool:
    """Whether the value needs a separate table; a list of scalars does not."""
    return isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value)
    )


def _flat(value: Any) -> Scalar:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(f"{part:.4g}" if isinstance(part, float) else str(_flat(part)) for part in value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _comparable(values: Sequence[Any]) -> bool:
    """Whether these are all counts, or all fractions, and so can share a scale."""
    counts, fractions = ([isinstance(value, kind) and value >= 0 for value in values] for kind in (int, float))
    return len(values) >= _BARS_FROM and (all(counts) or all(fractions))
