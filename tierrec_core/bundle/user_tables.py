"""Per-user arrays for memory mapping: ids, seen items, last purchases, lists, tiers and factors."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK


@dataclass(frozen=True)
class UserIndex:
    """Maps user ids to rows and back, by binary search over hashes; the ids themselves resolve collisions.

    hashes: of all ids, ascending, [U] uint64; row: the row of each hash, [U] int32
    text: all ids as UTF-8, concatenated in order of row, [B] uint8
    offsets: row u's id is text[offsets[u]:offsets[u + 1]], [U + 1] int64
    """

    hashes: IntArray
    row: IntArray
    text: IntArray
    offsets: IntArray

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Give the u-th id row u. Raises DataError for a duplicate id."""
        encoded = [user_id.encode() for user_id in ids]
        if len(set(encoded)) < len(encoded):
            duplicate, count = Counter(encoded).most_common(1)[0]
            raise DataError(f"users: id {duplicate.decode()!r} appears {count} times, wanted once; drop the rest")
        hashes = np.fromiter(map(_hash, encoded), np.uint64, len(encoded))
        row = np.argsort(hashes, kind="stable").astype(np.int32)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        text = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(hashes[row], row, text, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.row)

    def find(self, user_id: str) -> int | None:
        """The id's row; None for an unknown id."""
        encoded = user_id.encode()
        digest = np.uint64(_hash(encoded))
        index = int(np.searchsorted(self.hashes, digest))
        while index < len(self.hashes) and self.hashes[index] == digest:
            if self._encoded(self.row[index]) == encoded:
                return int(self.row[index])
            index += 1
        return None

    def user_id(self, row: int) -> str:
        """The id of a row."""
        return self._encoded(row).decode()

    def _encoded(self, row: int | np.integer) -> bytes:
        return self.text[self.offsets[row] : self.offsets[row + 1]].tobytes()


@dataclass(frozen=True)
class SeenItems:
    """The distinct items of each user, for excluding seen items from a list.

    items: columns of all users' items, ascending within a user, each once, [N] int32
    offsets: user u has seen items[offsets[u]:offsets[u + 1]], [U + 1] int64
    """

    items: IntArray
    offsets: IntArray

    @classmethod
    def of(cls, history: Interactions) -> Self:
        """The distinct items of each history."""
        user, item = history.unique_pairs()
        offsets = np.searchsorted(user, np.arange(history.num_users + 1))
        return cls(item.astype(np.int32), offsets.astype(np.int64))

    def row(self, user: int) -> IntArray:
        """Columns of the items that the user has seen, [M]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]


@dataclass(frozen=True)
class LastPurchases:
    """When each user last bought each item.

    items: columns of all users' items, ascending within a user, each once, [N] int32
    day: of the last purchase, in days since 1970 UTC, [N] float32
    offsets: user u's are at offsets[u]:offsets[u + 1], [U + 1] int64
    """

    items: IntArray
    day: FloatArray
    offsets: IntArray

    @classmethod
    def of(cls, history: Interactions) -> Self:
        """Keep the newest event of each distinct (user, item) pair."""
        order = np.lexsort((history.day, history.item, history.user))
        user, item = history.user[order], history.item[order]
        last = np.append((user[1:] != user[:-1]) | (item[1:] != item[:-1]), len(user) > 0)[: len(user)]
        offsets = np.searchsorted(user[last], np.arange(history.num_users + 1)).astype(np.int64)
        return cls(item[last].astype(np.int32), history.day[order][last].astype(np.float32), offsets)

    def row(self, user: int) -> tuple[IntArray, FloatArray]:
        """Columns of the items that the user bought, and the day of the last purchase, [M] and [M]."""
        span = slice(self.offsets[user], self.offsets[user + 1])
        return self.items[span], self.day[span]


class RankedLists(TopK):
    """Precomputed lists of one task, [U, K]."""

    def row(self, user: int) -> tuple[IntArray, FloatArray]:
        """Columns and scores of the user's list without padding, best first, [M] and [M]."""
        items = self.items[user]
        count = np.count_nonzero(items >= 0)
        return items[:count], self.scores[user, :count]


@dataclass(frozen=True)
class UserTables:
    """Per-user arrays, row by row.

    tier: index into the tiering's names, [U]; interests: P_u, [U, J]; factors: collaborative factors, [U, F]
    """

    tier: IntArray
    interests: FloatArray
    factors: FloatArray


def _hash(encoded: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")
