"""An immutable snapshot of all items: those of the models, followed by those posted live."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from services.catalogue.columns import (
    COLUMN_TYPES,
    NAMES,
    add_columns,
    append_rows,
    check_rows,
    kind_of,
    to_column_type,
    update_rows,
    with_columns,
)
from tierrec_core.base.contracts import ITEMS, BoolArray, IntArray
from tierrec_core.base.errors import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = {"available_from", "available_until"}
_UNCHANGED = {"_availability", "names", "kinds"}  # what is computed once, and is not affected by other values
_MAX_COLUMNS = 256
_MAX_MASKS = 128


class Condition(Protocol):
    """A condition on one row of the catalogue; hashable, so that its mask can be cached."""

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Evaluate it for each row of a part of the catalogue's frame, [N]."""
        ...


@dataclass(frozen=True)
class ItemIds:
    """The column of each item id. The mapping of the models' items is shared by all snapshots."""

    trained: Mapping[str, int]
    posted: Mapping[str, int]

    def column(self, item_id: str) -> int:
        """The item's column, -1 if it is unknown."""
        column = self.trained.get(item_id)
        return self.posted.get(item_id, -1) if column is None else column


class MaskCache:
    """The most recently used masks, each with the rows that have changed since; thread-safe."""

    def __init__(self, cached: Mapping[Condition, tuple[BoolArray, IntArray]] | None = None) -> None:
        self._cached = dict(cached or {})
        self._lock = threading.Lock()

    def of(self, condition: Condition, frame: pd.DataFrame) -> BoolArray:
        """The condition's mask of the whole frame, [I], read-only; evaluates changed rows only."""
        with self._lock:
            mask, stale = self._cached.get(condition) or (np.zeros(0, bool), np.arange(len(frame)))
        if len(stale):
            mask = np.concatenate([mask, np.zeros(len(frame) - len(mask), bool)])
            rows = frame if len(stale) == len(frame) else frame.iloc[stale]
            mask[stale] = condition.matches(rows)
            mask.flags.writeable = False
        with self._lock:
            self._cached.pop(condition, None)  # so that it becomes the most recently used
            self._cached[condition] = mask, np.zeros(0, np.int64)
            if len(self._cached) > _MAX_MASKS:
                del self._cached[next(iter(self._cached))]
        return mask

    def after(self, changed: IntArray) -> "MaskCache":
        """The cache of a snapshot in which the rows `changed` are new or different."""
        with self._lock:
            cached = list(self._cached.items())
        return MaskCache({key: (mask, np.union1d(stale, changed)) for key, (mask, stale) in cached})


@dataclass(frozen=True, eq=False)
class Catalogue:
    """An immutable snapshot; `of` makes the first one, `with_items` each later one.

    frame: ITEMS and further attributes, row i describes column i, [I]. available_from (inclusive) and
        available_until (exclusive) are times in UTC, stock is a number, on_promotion a boolean
    num_trained: rows before it are columns of the models; later rows are items posted live
    version: incremented by each change; changed_at: by column, the version in which it last changed
    trained: the models' items as they were before any post, [num_trained]
    deleted: columns of deleted items, which are not to be shown, ascending, [D]
    """

    frame: pd.DataFrame
    num_trained: int
    ids: ItemIds = field(repr=False)
    version: int = 0
    changed_at: Mapping[str, int] = field(default_factory=dict, repr=False)
    masks: MaskCache = field(default_factory=MaskCache, repr=False)
    trained: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    deleted: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """The models' items. Raises DataError if a value does not have the type that its column requires."""
        frame = ITEMS.conform(items.reset_index(drop=True), "items")
        names = [str(name) for name in frame if name not in ITEMS.columns]
        columns = {name: to_column_type(frame[name], COLUMN_TYPES.get(name), name) for name in names}
        trained = {str(item_id): column for column, item_id in enumerate(frame["item_id"])}
        frame = with_columns(frame, columns)
        return cls(frame, len(frame), ItemIds(trained, {}), trained=frame)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of its attributes; looking one up is ten times faster than in the frame."""
        return frozenset(map(str, self.frame.columns))

    def columns(self, item_ids: Iterable[str]) -> IntArray:
        """The column of each item, -1 if it is unknown, [N]."""
        return np.fromiter(map(self.ids.column, item_ids), np.int64)

    def values(self, name: str, columns: IntArray) -> list[Any]:
        """The attribute's values for these columns, None for null, [N]."""
        values: list[Any] = pa.array(self.frame[name].array.take(columns)).to_pylist()
        return values

    def mask(self, condition: Condition) -> BoolArray:
        """Whether the condition is true for each item, [I], read-only; cached across snapshots."""
        return self.masks.of(condition, self.frame)

    def available(self, now: datetime) -> BoolArray | None:
        """Items available at `now`, which has a time zone, [I]; None = all items."""
        if self._availability is None:
            return None
        start, end = self._availability
        moment = (now - _EPOCH) // timedelta(microseconds=1)
        return (start <= moment) & (moment < end)

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The type of each column, by name."""
        return {name: kind_of(self.frame[name]) for name in map(str, self.frame)}

    def check(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Raise DataError for rows that `with_items` would refuse."""
        _refuse_columns(len(check_rows(_by_id(rows).values(), self.kinds)))

    def with_items(self, rows: Sequence[Mapping[str, Any]]) -> Self:
        """The catalogue updated with these rows. A known id keeps its column and the attributes that its row omits.

        A new id gets the next column. Raises DataError if a row has no item_id or a value does not fit its column.
        """
        merged = _by_id(rows)
        if not merged:
            return self
        frame = add_columns(self.frame, list(merged.values()))
        _refuse_columns(frame.shape[1])
        columns = dict(zip(merged, self.columns(merged).tolist(), strict=True))
        known = [row for item_id, row in merged.items() if columns[item_id] >= 0]
        new = [row for item_id, row in merged.items() if columns[item_id] < 0]
        positions = np.array([columns[row["item_id"]] for row in known], np.int64)
        frame, changed_names = update_rows(frame, positions, known) if known else (frame, [])
        frame = append_rows(frame, new) if new else frame
        changed = np.r_[np.sort(positions), len(self) : len(frame)]
        posted = {row["item_id"]: len(self) + number for number, row in enumerate(new)}
        version = self.version + 1
        updated = replace(
            self,
            frame=frame,
            version=version,
            changed_at={**self.changed_at, **dict.fromkeys(changed_names, version)},
            ids=ItemIds(self.ids.trained, {**self.ids.posted, **posted}),
            deleted=np.setdiff1d(self.deleted, positions),
            masks=self.masks.after(changed) if frame.shape[1] == self.frame.shape[1] else MaskCache(),
        )
        if not new and not _TIMES & set(changed_names) and frame.shape[1] == self.frame.shape[1]:
            kept = {name: vars(self)[name] for name in _UNCHANGED & vars(self).keys()}
            vars(updated).update(kept)
        return updated

    def without(self, item_ids: Iterable[str]) -> Self:
        """The catalogue in which items are deleted, until `with_items` adds them again; unknown ids are ignored.

        They have the attributes that the models' items have, and none if they were posted live.
        """
        columns = self.columns(item_ids)
        columns = np.unique(columns[columns >= 0])
        reset = self.with_items([self._original(column) for column in columns.tolist()])
        return replace(reset, deleted=np.union1d(self.deleted, columns)) if len(columns) else self

    def _original(self, column: int) -> dict[str, Any]:
        """The row of an item before any post of it."""
        names = [name for name, kind in self.kinds.items() if kind in NAMES]
        row: dict[str, Any] = dict.fromkeys(names)
        if column < self.num_trained:
            cells = {name: self.trained[name].array.take([column]) for name in names if name in self.trained}
            row |= {name: pa.array(cell).to_pylist()[0] for name, cell in cells.items()}
        return row | {"item_id": str(self.frame["item_id"].iloc[column])}

    def changed_since(self, version: int) -> set[str]:
        """The columns that have changed for items that the catalogue had in that version."""
        return {name for name, changed in self.changed_at.items() if changed > version}

    @cached_property
    def _availability(self) -> tuple[IntArray, IntArray] | None:
        """Start (inclusive) and end (exclusive) of each item's availability, in microseconds since 1970, [I] each."""
        names = [name for name in _TIMES if name in self.frame]
        if not any(self.frame[name].notna().any() for name in names):
            return None
        first, last = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        return _moments(self.frame, "available_from", first), _moments(self.frame, "available_until", last)


def _moments(frame: pd.DataFrame, name: str, missing: int) -> IntArray:
    if name not in frame:
        return np.full(len(frame), missing, np.int64)
    moments = frame[name].dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    return np.where(frame[name].isna(), missing, moments)


def _refuse_columns(num_columns: int) -> None:
    if num_columns > _MAX_COLUMNS:
        raise DataError(f"items: {num_columns} attributes, wanted at most {_MAX_COLUMNS}; leave some out")


def _by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Merge the rows by item; later rows override earlier ones."""
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        item_id = row.get("item_id")
        if not isinstance(item_id, str) or not item_id:
            raise DataError(f"items: item_id is {item_id!r:.80}, wanted a non-empty text")
        merged.setdefault(item_id, {}).update(row)
    return merged
