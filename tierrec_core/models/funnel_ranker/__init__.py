"""Funnel ranker: ranks items the user viewed or added to the cart by the likelihood of a later purchase.

Trees learn the order (LambdaMART, Burges 2010; LightGBM, Ke 2017) from the users' purchases: one fold at a time is
hidden and predicted from the rest (stacking, Wolpert 1992), so a log without timestamps suffices. Features are the
target rate of users with the same steps, smoothed towards the rate of all items (Robbins 1956), and the similarity of
the item to the user's other events: item-item cosines between each two behaviours (Deshpande & Karypis, TOIS 2004).
Items without an event of the user are ranked below, by similarity to all the user's events.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Self

import lightgbm
import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from scipy import sparse
from scipy.special import expit

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.gradient_boosting import RankingExamples, boosting_parameters, ranking_data, stack_columns
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.sparse import degrees, keep_top_k_per_row, safe_power, scale
from tierrec_core.linalg.top_k import rank_within_groups
from tierrec_core.protocols.model import Training
from tierrec_core.settings import SearchRange
from tierrec_core.settings.learning import BoostingOptions

TARGET = "taken"  # a name in feature columns, whose order the trees depend on
_PRIOR_USERS = 5.0
_CHUNK = 1024
_BATCH = 512


@dataclass(frozen=True)
class Behaviours:
    """Histories as one binary matrix per behaviour, [U, I] each: the funnel's steps, then TARGET."""

    matrices: Mapping[str, sparse.csr_matrix]

    @classmethod
    def read(cls, history: Interactions, steps: tuple[str, ...], target: tuple[str, ...]) -> Self:
        """Split the history by behaviour; a step without events has an empty matrix."""
        matrices = {step: history.filter_events(step).binary_matrix() for step in steps}
        return cls(matrices | {TARGET: history.filter_events(*target).binary_matrix()})

    @property
    def steps(self) -> tuple[str, ...]:
        """All behaviours except the target."""
        return tuple(name for name in self.matrices if name != TARGET)

    def without_targets(self, user: IntArray, item: IntArray) -> Self:
        """Remove the target interactions of these pairs."""
        targets = self.matrices[TARGET]
        hidden = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), targets.shape)
        visible = (targets - targets.multiply(hidden)).tocsr()
        visible.eliminate_zeros()
        return type(self)({**self.matrices, TARGET: visible})

    def open_pairs(self) -> tuple[IntArray, IntArray]:
        """User-item pairs with a step but without the target, sorted by (user, item), [P]."""
        reached = sum(self.matrices[step] for step in self.steps).tocsr()
        still_open = (reached > reached.multiply(self.matrices[TARGET] * len(self.matrices))).tocsr()
        still_open.sort_indices()
        user = np.repeat(np.arange(still_open.shape[0]), np.diff(still_open.indptr))
        return user, still_open.indices.astype(np.int64)

    def step_bits(self, user: IntArray, item: IntArray) -> IntArray:
        """The steps of each pair as bits of one number, [P]."""
        bits = np.zeros(len(user), np.int64)
        for position, step in enumerate(self.steps):
            bits |= (_entries(self.matrices[step], user, item) > 0).astype(np.int64) << position
        return bits


@dataclass(frozen=True)
class FunnelStats:
    """Statistics of all users' behaviours.

    num_users: users with each behaviour for each item, the target last, [E, I]
    rate: target rate of users by step bits, and of all users in row 0, [2 ** S, I] with S steps
    similarity: of item i by one behaviour to item j by another, "a>b" -> [I, I]
    """

    num_users: FloatArray
    rate: FloatArray
    similarity: dict[str, sparse.csr_matrix]

    @classmethod
    def fit(cls, behaviours: Behaviours, neighbours: int, known: Mapping[str, sparse.csr_matrix] | None = None) -> Self:
        """Count users and compute similarities, except the known ones."""
        num_users = np.stack([degrees(matrix)[1] for matrix in behaviours.matrices.values()])
        similarity = dict(known or {})
        for source, other in product(behaviours.matrices, behaviours.matrices):
            name = f"{source}>{other}"
            if name not in similarity:
                similarity[name] = _cosine(behaviours, source, other, neighbours)
        return cls(num_users.astype(np.float32), _target_rates(behaviours), dict(sorted(similarity.items())))

    def table(self, behaviours: Behaviours, user: IntArray, item: IntArray) -> dict[str, FloatArray]:
        """Features by name of the pairs (user [P], item [P]) sorted by user, [P] float32 each."""
        bits = behaviours.step_bits(user, item)
        table = {"state": bits, "rate": self.rate[bits, item], "rate_in_any": self.rate[0, item]}
        for row, (name, matrix) in enumerate(behaviours.matrices.items()):
            count = degrees(matrix)[0]
            table |= {f"item_{name}": self.num_users[row, item], f"user_{name}": count[user]}
            targets = np.asarray(matrix.multiply(behaviours.matrices[TARGET]).sum(axis=1)).ravel()
            table |= {f"user_took_of_{name}": ((targets + 0.5) / (count + 2.0))[user]}
        for name, similarity in self.similarity.items():
            source = behaviours.matrices[name.split(">")[0]]
            table[name] = _product_at_pairs(source, similarity, user, item)
            table[f"{name}_mean"] = table[name] / np.maximum(degrees(source)[0], 1.0)[user]
        ranked = ["rate", "rate_in_any", *self.similarity]
        table |= {f"rank_{name}": rank_within_groups(user, table[name]) for name in ranked}
        table["candidates"] = np.bincount(user, minlength=1)[user]
        return {name: column.astype(np.float32) for name, column in table.items()}

    def similarity_scores(self, behaviours: Behaviours) -> FloatArray:
        """Similarity of each item to all events of the user, 0 to 1, plus a small popularity term, [U, I]."""
        similarity = sum(
            matrix @ self.similarity[f"{name}>{TARGET}"] for name, matrix in behaviours.matrices.items()
        ).toarray()
        popularity = self.num_users[-1] / max(self.num_users[-1].max(initial=0.0), 1.0)
        return np.asarray(0.99 * similarity / (1.0 + similarity) + 0.01 * popularity, np.float32)


@dataclass(frozen=True)
class FunnelRanker:
    """Funnel statistics, names of the features [F], and LightGBM's text, empty without trees."""

    funnel: FunnelStats
    columns: tuple[str, ...]
    trees: str
    target: tuple[str, ...]
    config: "FunnelRanker.Config"

    class Config(BoostingOptions):
        """steps lead to a target event, the closest last; neighbours limits the memory of each similarity.

        Each of the folds hides one purchase of each user with at least two. negative_share: fraction of the candidates
        without a purchase kept for training; truncation: list depth of the objective. With num_trees 0 the order is
        that of the smoothed purchase rate.
        """

        steps: tuple[str, ...] = ("view", "cart")
        neighbours: Annotated[PositiveInt, SearchRange(50, 1000, log=True)] = 300
        folds: PositiveInt = 3
        negative_share: Annotated[float, Field(gt=0, le=1)] = 0.5
        num_trees: Annotated[NonNegativeInt, SearchRange(50, 400, log=True)] = 200
        learning_rate: Annotated[PositiveFloat, SearchRange(0.02, 0.2, log=True)] = 0.06
        num_leaves: Annotated[int, Field(ge=2), SearchRange(7, 63, log=True)] = 15
        min_data_in_leaf: PositiveInt = 100
        feature_share: Annotated[float, Field(gt=0, le=1)] = 0.4
        l2: Annotated[float, Field(ge=0)] = 5.0
        truncation: PositiveInt = 15

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Compute the statistics of the log; learn to rank if any hidden purchase has a funnel step."""
        behaviours = Behaviours.read(training.history, config.steps, training.target)
        funnel = FunnelStats.fit(behaviours, config.neighbours)
        parts = list(_examples(behaviours, funnel, config, training.rng)) if config.num_trees else []
        if not parts:
            return cls(funnel, (), "", training.target, config)
        columns = tuple(parts[0].table)
        parameters = boosting_parameters(config, training.seed, objective="lambdarank", row_share=0.8, num_threads=2)
        parameters |= {"lambdarank_truncation_level": config.truncation}
        booster = lightgbm.train(parameters, ranking_data(parts, columns, config.max_bin), config.num_trees)
        return cls(funnel, columns, booster.model_to_string(), training.target, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Scores of 1 to 2 for items in the funnel, 0 to 1 for the rest, [U, I]."""
        behaviours = Behaviours.read(history, self.config.steps, self.target)
        scores = self.funnel.similarity_scores(behaviours)
        user, item = behaviours.open_pairs()
        if self._booster is None or not len(user):
            scores[user, item] = 1.0 + self.funnel.rate[0, item].clip(0.0, 0.99)
            return scores
        values = stack_columns(self.funnel.table(behaviours, user, item), self.columns)
        scores[user, item] = 1.0 + expit(self._booster.predict(values, num_threads=2))
        return scores

    @cached_property
    def _booster(self) -> lightgbm.Booster | None:
        return lightgbm.Booster(model_str=self.trees) if self.trees else None


def _examples(
    behaviours: Behaviours, funnel: FunnelStats, config: FunnelRanker.Config, rng: np.random.Generator
) -> Iterator[RankingExamples]:
    """Each fold's open pairs of users whose hidden purchase is among them, labelled with whether it was hidden."""
    purchases = behaviours.matrices[TARGET].tocoo()
    size = np.int64(purchases.shape[1])
    fold = rank_within_groups(purchases.row, -rng.random(purchases.nnz))  # differs for all purchases of one user
    between_steps = {name: matrix for name, matrix in funnel.similarity.items() if TARGET not in name.split(">")}
    has_several = np.bincount(purchases.row, minlength=purchases.shape[0])[purchases.row] > 1
    for number in range(config.folds):
        hidden = (fold == number) & has_several
        visible = behaviours.without_targets(purchases.row[hidden], purchases.col[hidden])
        user, item = visible.open_pairs()
        label = np.isin(user * size + item, purchases.row[hidden] * size + purchases.col[hidden])
        keep = np.isin(user, user[label]) & (label | (rng.random(len(user)) < config.negative_share))
        if label.any():
            stats = FunnelStats.fit(visible, config.neighbours, between_steps)
            table = stats.table(visible, user, item)
            yield RankingExamples({name: column[keep] for name, column in table.items()}, user[keep], label[keep])


def _product_at_pairs(
    source: sparse.csr_matrix, similarity: sparse.csr_matrix, user: IntArray, item: IntArray
) -> FloatArray:
    """Entries of source [U, I] @ similarity [I, I] at pairs sorted by user, [P], in batches of users."""
    values = np.zeros(len(user), np.float32)
    for start in range(0, source.shape[0], _BATCH):
        first, last = np.searchsorted(user, (start, start + _BATCH))
        if last > first:
            scores = (source[start : start + _BATCH] @ similarity).toarray()
            values[first:last] = scores[user[first:last] - start, item[first:last]]
    return values


def _entries(matrix: sparse.csr_matrix, user: IntArray, item: IntArray) -> FloatArray:
    """Entries of the matrix at the pairs, [P]."""
    return np.asarray(matrix[user, item]).ravel() if len(user) else np.zeros(0, np.float32)


def _cosine(behaviours: Behaviours, source: str, other: str, neighbours: int) -> sparse.csr_matrix:
    """Cosine of the users of item i by `source` and of item j by `other`, top neighbours per row, 0 on the diagonal."""
    left, right = behaviours.matrices[source], behaviours.matrices[other]
    by_item = scale(left, columns=safe_power(degrees(left)[1] + 1.0, -0.5)).T.tocsr()
    right = scale(right, columns=safe_power(degrees(right)[1] + 1.0, -0.5))
    parts = []
    for start in range(0, by_item.shape[0], _CHUNK):
        cosine = (by_item[start : start + _CHUNK] @ right).tocsr()
        row = np.repeat(np.arange(cosine.shape[0]), np.diff(cosine.indptr))
        cosine.data[cosine.indices == start + row] = 0.0
        parts.append(keep_top_k_per_row(cosine, neighbours))
    return sparse.vstack(parts, format="csr", dtype=np.float32)


def _target_rates(behaviours: Behaviours) -> FloatArray:
    """Row b: smoothed target rate of users with step bits b; row 0: of all users with any behaviour, [2 ** S, I]."""
    matrices, steps = behaviours.matrices, behaviours.steps
    reached = sum(matrices[step] for step in steps).tocoo()
    bits = behaviours.step_bits(reached.row, reached.col)
    is_target = _entries(matrices[TARGET], reached.row, reached.col)
    shape = (1 << len(steps), reached.shape[1])
    code = bits * shape[1] + reached.col
    users, targets = (np.bincount(code, weight, shape[0] * shape[1]).reshape(shape) for weight in (None, is_target))
    users[0], targets[0] = sum(degrees(matrices[step])[1] for step in steps), degrees(matrices[TARGET])[1]
    overall = targets.sum(axis=1, keepdims=True) / np.maximum(users.sum(axis=1, keepdims=True), 1.0)
    return np.asarray((targets + _PRIOR_USERS * overall) / (users + _PRIOR_USERS), np.float32)
