"""Everything that can be shown: the items of the models, and after them the items posted live, as one snapshot."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from services.catalogue.columns import MEANINGFUL, add_columns, append_rows, to_column_type, update_rows
from tierrec_core.base.contracts import ITEMS, BoolArray, IntArray
from tierrec_core.base.errors import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_COLUMNS = 256
_MAX_MASKS = 128


class Condition(Protocol):
    """What holds for an item or not, by its own row alone; hashable, so that its mask can be kept."""

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Whether it holds, for each row of a part of the catalogue's frame, [N]."""
        ...


@dataclass(frozen=True)
class ItemIds:
    """Columns of the item ids. The models' items are shared by all snapshots; the posted ones are copied."""

    trained: Mapping[str, int]
    posted: Mapping[str, int]

    def column(self, item_id: str) -> int:
        """The item's column, -1 where it is unknown."""
        found = self.trained.get(item_id)
        return self.posted.get(item_id, -1) if found is None else found


class Masks:
    """The masks used last, each with the rows that have changed since it was made; safe between threads."""

    def __init__(self, held: Mapping[Condition, tuple[BoolArray, IntArray]] | None = None) -> None:
        self._held = dict(held or {})
        self._lock = threading.Lock()

    def of(self, condition: Condition, frame: pd.DataFrame) -> BoolArray:
        """The condition's mask of the whole frame, [I], read-only; only rows that changed are looked at again."""
        none = np.zeros(0, np.int64)
        mask, stale = self._take(condition) or (np.zeros(0, bool), np.arange(len(frame)))
        if len(stale):
            mask = np.concatenate([mask, np.zeros(len(frame) - len(mask), bool)])
            rows = frame if len(stale) == len(frame) else frame.iloc[stale]
            mask[stale] = condition.matches(rows)
            mask.flags.writeable = False
        self._put(condition, (mask, none))
        return mask

    def after(self, changed: IntArray) -> "Masks":
        """The same masks for a snapshot in which the rows `changed` are new or different."""
        with self._lock:
            held = list(self._held.items())
        return Masks({key: (mask, np.union1d(stale, changed)) for key, (mask, stale) in held})

    def _take(self, condition: Condition) -> tuple[BoolArray, IntArray] | None:
        with self._lock:
            return self._held.get(condition)

    def _put(self, condition: Condition, mask: tuple[BoolArray, IntArray]) -> None:
        """Keep it as the one used last; the one used longest ago goes when there are too many."""
        with self._lock:
            self._held.pop(condition, None)
            self._held[condition] = mask
            if len(self._held) > _MAX_MASKS:
                del self._held[next(iter(self._held))]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """An immutable snapshot; `of` makes the first one, `with_items` each later one.

    frame: ITEMS with any further attributes, row i describes column i, [I]. available_from (inclusive) and
        available_until (exclusive) are moments in UTC, stock is a number, on_promotion is true or false
    num_trained: rows before it are columns of the models; later rows are items posted live
    version: grows by one with each change
    """

    frame: pd.DataFrame
    num_trained: int
    version: int = 0
    ids: ItemIds | None = field(default=None, repr=False)
    masks: Masks = field(default_factory=Masks, repr=False)

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """The models' items. Raises DataError when a column that has a meaning holds something else."""
        frame = ITEMS.conform(items.reset_index(drop=True), "items")
        names = [str(name) for name in frame if name not in ITEMS.columns]
        columns = {name: to_column_type(frame[name], MEANINGFUL.get(name), name) for name in names}
        return cls(frame.assign(**columns), len(frame))

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def names(self) -> frozenset[str]:
        """Of its attributes; asked on every request, and ten times as fast as the frame is."""
        return frozenset(map(str, self.frame.columns))

    def columns(self, item_ids: Iterable[str]) -> IntArray:
        """The column of each item, -1 where it is unknown, [N]."""
        return np.fromiter(map(self._ids.column, item_ids), np.int64)

    def values(self, name: str, columns: IntArray) -> list[Any]:
        """What an attribute holds for these columns, None where it is empty, [N]."""
        taken: list[Any] = pa.array(self.frame[name].array.take(columns)).to_pylist()
        return taken

    def mask(self, condition: Condition) -> BoolArray:
        """Where the condition holds, [I], read-only. The masks used last are kept from snapshot to snapshot."""
        return self.masks.of(condition, self.frame)

    def available(self, now: datetime) -> BoolArray | None:
        """Where `now` (with its offset) lies between available_from and available_until, [I]; None = everywhere."""
        if self._spans is None:
            return None
        start, end = self._spans
        moment = (now - _EPOCH) // timedelta(microseconds=1)
        mask: BoolArray = (start <= moment) & (moment < end)
        return mask

    def with_items(self, rows: Sequence[Mapping[str, Any]]) -> Self:
        """The catalogue after these rows. A known id keeps its column, and the attributes that its row leaves out.

        A new id gets the next column. Raises DataError, and changes nothing, when a row has no item_id or an
        attribute holds what its column cannot.
        """
        merged = _by_id(rows)
        if not merged:
            return self
        frame = add_columns(self.frame, list(merged.values()))
        if frame.shape[1] > _MAX_COLUMNS:
            raise DataError(
                f"items: {frame.shape[1]} attributes, wanted at most {_MAX_COLUMNS}; leave some out"
            )
        columns = dict(zip(merged, self.columns(merged).tolist(), strict=True))
        known = [row for item_id, row in merged.items() if columns[item_id] >= 0]
        new = [row for item_id, row in merged.items() if columns[item_id] < 0]
        places = np.array([columns[row["item_id"]] for row in known], np.int64)
        frame = update_rows(frame, places, known) if known else frame
        frame = append_rows(frame, new) if new else frame
        changed = np.r_[np.sort(places), len(self) : len(frame)]
        posted = {row["item_id"]: len(self) + number for number, row in enumerate(new)}
        return replace(
            self,
            frame=frame,
            version=self.version + 1,
            ids=ItemIds(self._ids.trained, {**self._ids.posted, **posted}),
            masks=self.masks.after(changed) if set(frame) == set(self.frame) else Masks(),
        )

    @cached_property
    def _ids(self) -> ItemIds:
        if self.ids is not None:
            return self.ids
        column = {str(item_id): place for place, item_id in enumerate(self.frame["item_id"])}
        trained = {item_id: place for item_id, place in column.items() if place < self.num_trained}
        return ItemIds(trained, {item_id: column[item_id] for item_id in column.keys() - trained.keys()})

    @cached_property
    def _spans(self) -> tuple[IntArray, IntArray] | None:
        """First moment at which each item may be shown, and first at which not, in microseconds since 1970."""
        names = [name for name in ("available_from", "available_until") if name in self.frame]
        if not any(self.frame[name].notna().any() for name in names):
            return None
        first, last = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        return _moments(self.frame, "available_from", first), _moments(self.frame, "available_until", last)


def _moments(frame: pd.DataFrame, name: str, missing: int) -> IntArray:
    if name not in frame:
        return np.full(len(frame), missing, np.int64)
    moments = frame[name].dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    return np.where(frame[name].isna(), missing, moments)


def _by_id(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by item; a later row of the same item wins."""
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        item_id = row.get("item_id")
        if not isinstance(item_id, str) or not item_id:
            raise DataError(f"items: item_id is {item_id!r:.80}, wanted a text that is not empty")
        merged.setdefault(item_id, {}).update(row)
    return merged
