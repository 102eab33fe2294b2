"""What a log of several behaviours tells of an item that a user looked at or put aside but has not taken.

How often users who came that far took it (a rate drawn to everybody's, Robbins 1956), and how much the item is like
what the user did otherwise: item-item cosines from each behaviour to each (Deshpande & Karypis, TOIS 2004).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.sparse import degrees, keep_top_k_per_row, safe_power, scale

TAKEN = "taken"
_PRIOR = 5.0  # users of the whole log that each item's rate is drawn to
_CHUNK = 1024
_BATCH = 512


@dataclass(frozen=True)
class Behaviours:
    """Histories as one matrix a behaviour, [U, I] each, of ones: the `steps` towards taking, and what was TAKEN."""

    of: Mapping[str, sparse.csr_matrix]

    @classmethod
    def read(cls, history: Interactions, steps: tuple[str, ...], target: tuple[str, ...]) -> Self:
        """A step that the history lacks is empty."""
        return cls(
            {step: history.filter_events(step).binary_matrix() for step in steps}
            | {TAKEN: history.filter_events(*target).binary_matrix()}
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """All behaviours but the last."""
        return tuple(name for name in self.of if name != TAKEN)

    def without(self, user: IntArray, item: IntArray) -> Self:
        """As if these pairs had not been taken."""
        taken = self.of[TAKEN]
        hidden = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), taken.shape)
        rest = (taken - taken.multiply(hidden)).tocsr()
        rest.eliminate_zeros()
        return type(self)({**self.of, TAKEN: rest})

    def half_way(self) -> tuple[IntArray, IntArray]:
        """The pairs of users and items with a step that were not taken, in order of (user, item), [P]."""
        reached = sum(self.of[step] for step in self.steps).tocsr()
        left = (reached > reached.multiply(self.of[TAKEN] * len(self.of))).tocsr()
        left.sort_indices()
        return np.repeat(np.arange(left.shape[0]), np.diff(left.indptr)), left.indices.astype(np.int64)

    def state(self, user: IntArray, item: IntArray) -> IntArray:
        """Which steps each pair has gone, one bit a step, [P]."""
        found = np.zeros(len(user), np.int64)
        for place, step in enumerate(self.steps):
            found |= (entries(self.of[step], user, item) > 0).astype(np.int64) << place
        return found


@dataclass(frozen=True)
class Funnel:
    """Facts of all users' behaviours.

    met: users who did each behaviour with each item, the taking last, [E, I]
    rate: share of those who took it among those who are in each state, and in any, [2 ** E', I] with E' steps
    alike: what having done one behaviour with item i says of doing another with item j, "a>b" -> [I, I]
    """

    met: FloatArray
    rate: FloatArray
    alike: dict[str, sparse.csr_matrix]

    @classmethod
    def measure(
        cls, seen: Behaviours, neighbours: int, known: Mapping[str, sparse.csr_matrix] | None = None
    ) -> Self:
        """Count and compare. known: similarities that are measured already, as those among steps do not change."""
        met = np.stack([degrees(matrix)[1] for matrix in seen.of.values()])
        alike = dict(known or {})
        for one, two in product(seen.of, seen.of):
            name = f"{one}>{two}"
            alike[name] = alike[name] if name in alike else _alike(seen, one, two, neighbours)
        return cls(met.astype(np.float32), _rates(seen), dict(sorted(alike.items())))

    def among_steps(self) -> dict[str, sparse.csr_matrix]:
        """The similarities that hang on no taking."""
        return {name: one for name, one in self.alike.items() if TAKEN not in name.split(">")}

    def table(self, seen: Behaviours, user: IntArray, item: IntArray) -> dict[str, FloatArray]:
        """Features by name of the pairs (user [P], item [P]) in order of user, [P] float32 each."""
        state = seen.state(user, item)
        found = {"state": state, "rate": self.rate[state, item], "rate_in_any": self.rate[0, item]}
        for row, (name, matrix) in enumerate(seen.of.items()):
            count = degrees(matrix)[0]
            found |= {f"item_{name}": self.met[row, item], f"user_{name}": count[user]}
            took = np.asarray(matrix.multiply(seen.of[TAKEN]).sum(axis=1)).ravel()
            found |= {f"user_took_of_{name}": ((took + 0.5) / (count + 2.0))[user]}
        for name, similarity in self.alike.items():
            source = seen.of[name.split(">")[0]]
            found[name] = sums(source, similarity, user, item)
            found[f"{name}_mean"] = found[name] / np.maximum(degrees(source)[0], 1.0)[user]
        found |= {f"rank_{name}": _rank(user, found[name]) for name in ["rate", "rate_in_any", *self.alike]}
        found["candidates"] = np.bincount(user, minlength=1)[user]
        return {name: column.astype(np.float32) for name, column in found.items()}

    def base(self, seen: Behaviours) -> FloatArray:
        """How much each item is like all that the user did, 0 to 1, with a little for popularity, [U, I]."""
        likeness = sum(seen.of[one] @ self.alike[f"{one}>{TAKEN}"] for one in seen.of).toarray()
        popular = self.met[-1] / max(self.met[-1].max(initial=0.0), 1.0)
        scores: FloatArray = (0.99 * likeness / (1.0 + likeness) + 0.01 * popular).astype(np.float32)
        return scores


def sums(
    source: sparse.csr_matrix, similarity: sparse.csr_matrix, user: IntArray, item: IntArray
) -> FloatArray:
    """Entries of source [U, I] @ similarity [I, I] at pairs in order of user, [P], some users at a time."""
    found = np.zeros(len(user), np.float32)
    for start in range(0, source.shape[0], _BATCH):
        first, last = np.searchsorted(user, (start, start + _BATCH))
        if last > first:
            scores = (source[start : start + _BATCH] @ similarity).toarray()
            found[first:last] = scores[user[first:last] - start, item[first:last]]
    return found


def entries(matrix: sparse.csr_matrix, user: IntArray, item: IntArray) -> FloatArray:
    """Entries of the matrix at the pairs, [P]."""
    return np.asarray(matrix[user, item]).ravel() if len(user) else np.zeros(0, np.float32)


def _alike(seen: Behaviours, one: str, two: str, neighbours: int) -> sparse.csr_matrix:
    """Cosine of who did `one` with item i and who did `two` with item j, each item's nearest, 0 for itself."""
    source, target = seen.of[one], seen.of[two]
    by_item = scale(source, columns=safe_power(degrees(source)[1] + 1.0, -0.5)).T.tocsr()
    target = scale(target, columns=safe_power(degrees(target)[1] + 1.0, -0.5))
    parts = []
    for start in range(0, by_item.shape[0], _CHUNK):
        together = (by_item[start : start + _CHUNK] @ target).tocsr()
        row = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        together.data[together.indices == start + row] = 0.0
        parts.append(keep_top_k_per_row(together, neighbours))
    return sparse.vstack(parts, format="csr", dtype=np.float32)


def _rates(seen: Behaviours) -> FloatArray:
    """Row s: of the users in state s with the item, who took it; row 0: of all who came any way, [2 ** E', I]."""
    reached = sum(seen.of[step] for step in seen.steps).tocoo()
    state = seen.state(reached.row, reached.col)
    took = entries(seen.of[TAKEN], reached.row, reached.col)
    shape = (1 << len(seen.steps), reached.shape[1])
    code = state * shape[1] + reached.col
    users, takers = (np.bincount(code, one, shape[0] * shape[1]).reshape(shape) for one in (None, took))
    users[0], takers[0] = sum(degrees(seen.of[step])[1] for step in seen.steps), degrees(seen.of[TAKEN])[1]
    usual = takers.sum(axis=1, keepdims=True) / np.maximum(users.sum(axis=1, keepdims=True), 1.0)
    rate: FloatArray = ((takers + _PRIOR * usual) / (users + _PRIOR)).astype(np.float32)
    return rate


def _rank(user: IntArray, score: FloatArray) -> FloatArray:
    """Rank within each user, 0 = highest score; pairs are in order of user, ties keep their order, [P]."""
    order = np.lexsort((-score, user))
    rank = np.empty(len(user), np.float32)
    rank[order] = np.arange(len(user)) - np.searchsorted(user, user)
    return rank
