"""Users by the million: their ids, what they met and what they are shown, as arrays that are mapped from disk."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from tierrec_core.base import memmap
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import Interactions


@dataclass(frozen=True)
class UserIndex:
    """Which row a user id has, and back: hashes in order for the search, the ids themselves for the proof.

    hashes: of all ids, ascending, [U] uint64; row: the row of each hash, [U] int32
    text: all ids in order of row as UTF-8, one after the other, [B] uint8
    offsets: row u's id is text[offsets[u]:offsets[u + 1]], [U + 1] int64
    """

    hashes: IntArray
    row: IntArray
    text: IntArray
    offsets: IntArray

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Row u is the u-th id. Raises DataError when an id comes twice."""
        encoded = [one.encode() for one in ids]
        if len(set(encoded)) < len(encoded):
            twice, count = Counter(encoded).most_common(1)[0]
            raise DataError(
                f"users: id {twice.decode()!r} comes {count} times; wanted each id once, drop the rest"
            )
        hashes = np.fromiter(map(_hash, encoded), np.uint64, len(encoded))
        row = np.argsort(hashes, kind="stable").astype(np.int32)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        text = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(hashes[row], row, text, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.row)

    def find(self, user_id: str) -> int | None:
        """The id's row; None where it is unknown."""
        encoded = user_id.encode()
        wanted = np.uint64(_hash(encoded))
        place = int(np.searchsorted(self.hashes, wanted))
        while place < len(self.hashes) and self.hashes[place] == wanted:
            if self._encoded(self.row[place]) == encoded:
                return int(self.row[place])
            place += 1
        return None

    def rows(self, user_ids: Iterable[str]) -> IntArray:
        """The row of each id, -1 where it is unknown, [N] int32."""
        found = (self.find(one) for one in user_ids)
        return np.fromiter((-1 if row is None else row for row in found), np.int32)

    def id(self, row: int | np.integer) -> str:
        """The id of a row."""
        return self._encoded(row).decode()

    def ids(self, first: int, last: int) -> list[str]:
        """The ids of the rows from `first` to before `last`."""
        return [self.id(row) for row in range(first, last)]

    def save(self, folder: Path) -> None:
        """Write to the folder in one step."""
        memmap.save_arrays(self, folder)

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Map what `save` wrote. Raises ArtifactError when it is missing or damaged."""
        return memmap.map_arrays(cls, folder, verify=verify)

    def _encoded(self, row: int | np.integer) -> bytes:
        return self.text[self.offsets[row] : self.offsets[row + 1]].tobytes()


@dataclass(frozen=True)
class SeenItems:
    """Which items each user met, and nothing else: what a list must leave out.

    items: columns of all users' items, ascending within a user, each once, [N] int32
    offsets: user u met items[offsets[u]:offsets[u + 1]], [U + 1] int64
    """

    items: IntArray
    offsets: IntArray

    @classmethod
    def of(cls, history: Interactions) -> Self:
        """The distinct items of each history."""
        user, item = history.unique_pairs()
        offsets = np.searchsorted(user, np.arange(history.num_users + 1))
        return cls(item.astype(np.int32), offsets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, user: int) -> IntArray:
        """Columns of the items that the user met, [M]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def matrix(self, first: int, last: int, num_items: int) -> sparse.csr_matrix:
        """1 where the users from `first` to before `last` met an item, [last - first, num_items] float32."""
        offsets = self.offsets[first : last + 1]
        items = self.items[offsets[0] : offsets[-1]]
        parts = np.ones(len(items), np.float32), items, offsets - offsets[0]
        return sparse.csr_matrix(parts, shape=(last - first, num_items))

    def save(self, folder: Path) -> None:
        """Write to the folder in one step."""
        memmap.save_arrays(self, folder)

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Map what `save` wrote. Raises ArtifactError when it is missing or damaged."""
        return memmap.map_arrays(cls, folder, verify=verify)


@dataclass(frozen=True)
class LastPurchases:
    """When each user last took each item.

    items: columns of all users' items, ascending within a user, each once, [N] int32
    day: of the last time, in days since 1970 UTC, [N] float32
    offsets: user u's are at offsets[u]:offsets[u + 1], [U + 1] int64
    """

    items: IntArray
    day: FloatArray
    offsets: IntArray

    @classmethod
    def of(cls, history: Interactions) -> Self:
        """The newest event of each distinct (user, item)."""
        order = np.lexsort((history.day, history.item, history.user))
        user, item = history.user[order], history.item[order]
        last = np.append((user[1:] != user[:-1]) | (item[1:] != item[:-1]), len(user) > 0)[: len(user)]
        offsets = np.searchsorted(user[last], np.arange(history.num_users + 1)).astype(np.int64)
        return cls(item[last].astype(np.int32), history.day[order][last].astype(np.float32), offsets)

    def row(self, user: int) -> tuple[IntArray, FloatArray]:
        """Columns of what the user took, and the day of the last time, [M] and [M]."""
        span = slice(self.offsets[user], self.offsets[user + 1])
        return self.items[span], self.day[span]


@dataclass(frozen=True)
class RankedLists:
    """Precomputed lists of one task, ready to be shown.

    items: columns, best first, -1 where a list is shorter than K, [U, K] int32
    scores: the score of each, [U, K] float32 or, where half the disk is worth three digits, float16
    """

    items: IntArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.items)

    def row(self, user: int) -> tuple[IntArray, FloatArray]:
        """Columns and float32 scores of the user's list without the padding, best first, [M] and [M]."""
        items = self.items[user]
        count = np.count_nonzero(items >= 0)
        return items[:count], self.scores[user, :count].astype(np.float32)

    @classmethod
    def write(
        cls, folder: Path, blocks: Iterable[tuple[IntArray, FloatArray]], *, half: bool = False
    ) -> None:
        """Write blocks of columns [B, K] and scores [B, K] of consecutive users, one block in memory at a time.

        half: keep the scores in float16. Raises ArtifactError when the blocks differ in K or the disk is full.
        """
        precision = np.float16 if half else np.float32
        memmap.stream_arrays(
            cls,
            folder,
            (
                {"items": items.astype(np.int32), "scores": scores.astype(precision)}
                for items, scores in blocks
            ),
        )

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Map what `write` wrote. Raises ArtifactError when it is missing or damaged."""
        return memmap.map_arrays(cls, folder, verify=verify)


def _hash(encoded: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")
