"""Two towers (Covington et al., RecSys 2016; Yi et al., RecSys 2019): users by history and features, items by content.

An item's vector is the sum of the vectors of its features (words of the title, level of the price, attributes) and of
an id embedding, which training drops at random (Volkovs et al., NeurIPS 2017), so that features alone rank items
without events. The loss is a softmax over the batch's items and sampled items with the logQ correction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.text import Vocabulary
from tierrec_core.features import sequences
from tierrec_core.features.item_content import content_features, feature_vocabulary
from tierrec_core.features.user_item import user_features
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.linalg.cosine import normalize_rows
from tierrec_core.models.two_tower.network import ItemInputs, TowerBatch, TwoTowerNetwork, UserInputs
from tierrec_core.neural import trainer
from tierrec_core.protocols.model import Training
from tierrec_core.settings import RenamedFrom, SearchRange, Share
from tierrec_core.tiers import Tiering

_MIN_STEP = 1e-6


@dataclass(frozen=True)
class TwoTower:
    """A fitted network, with the content features and the tiering that scoring needs.

    lexicon: names of the D content features; content: weight of each for each item, [I, D]
    tiering: assigns tier and interests to any history
    """

    weights: trainer.Weights
    lexicon: Vocabulary
    content: sparse.csr_matrix
    tiering: Tiering
    config: "TwoTower.Config"

    class Config(trainer.EarlyStoppingConfig, sequences.HistoryConfig):
        """An example is a user at one of num_snapshots times, step_days apart, with the targets of horizon_days.

        Each event of the history is dropped with probability history_dropout, and an item's id embedding
        with id_dropout. Each of `targets` draws is compared with a target of every user of the batch and
        with `negatives` items drawn by popularity ** popularity_power.
        """

        embedding_size: PositiveInt = 64
        id_dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.6)] = 0.3
        history_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 6
        early_stopping: trainer.EarlyStopping = 2
        learning_rate: Annotated[PositiveFloat, SearchRange(1e-3, 0.02, log=True)] = 0.006
        batch_size: PositiveInt = 256
        targets: PositiveInt = 16
        negatives: PositiveInt = 1024
        popularity_power: Share = 0.5
        num_snapshots: Annotated[PositiveInt, RenamedFrom("cuts")] = 14
        step_days: PositiveFloat = 14.0
        horizon_days: PositiveFloat = 14.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Fit on the users at each snapshot and their next targets; items without events get no id embedding."""
        described = content_features(training.items)
        lexicon = feature_vocabulary(described)
        content = _content_weights(lexicon, described)
        sampler = _Sampler(training, content, config)
        held_out = config.holdout_mask(training.history.num_users, sampler.rng)
        dense = sampler.examples.dense
        weights = trainer.fit_network(
            lambda: TwoTowerNetwork(len(described), len(lexicon), dense.shape[1], config).standardized(dense),
            lambda: sampler.epoch(~held_out),
            config,
            seed=training.seed,
            name="two_tower",
            validation=list(sampler.epoch(held_out)),
        )
        weights["item.weight"][np.bincount(training.history.item, minlength=len(described)) == 0] = 0.0
        return cls(weights, lexicon, content, training.tiering, config)

    @cached_property
    def network(self) -> TwoTowerNetwork:
        """The network with these weights."""
        items, features, dense = (len(self.weights[name]) for name in ("item.weight", "feature.weight", "centre"))
        return trainer.load_weights(TwoTowerNetwork(items, features, dense, self.config), self.weights)

    @cached_property
    def item_factors(self) -> FloatArray:
        """Vectors of the catalogue, the last entry a bias, [I, F + 1] float32."""
        return self._content_vectors(self.content) + self.weights["item.weight"]

    def item_vectors(self, items: pd.DataFrame) -> FloatArray:
        """Vectors like item_factors of any ITEMS, by their features alone, [N, F + 1] float32."""
        return self._content_vectors(_content_weights(self.lexicon, content_features(items)))

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of the user's next items, [U, I] float32."""
        return np.asarray(self.encode_users(history) @ self.item_factors.T)

    def encode_users(self, history: Interactions) -> FloatArray:
        """User vectors, whose product with an item's vector is the score, [U, F + 1]."""
        dense, history = user_features(history, self.tiering), sequences.without_impressions(history)

        def users(rows: slice) -> torch.Tensor:
            items, weight = sequences.current_items(history, rows, self.config)
            inputs = UserInputs(*map(trainer.to_tensor, (items, normalize_rows(weight), dense[rows])))
            return self.network.users(self._items, inputs)

        return trainer.predict_in_batches(users, history.num_users, self.config.embedding_size + 1)

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        return mask_padding(factor_products(user_states, self.item_factors, candidates), candidates)

    @cached_property
    def _items(self) -> torch.Tensor:
        return trainer.to_tensor(self.item_factors)

    def _content_vectors(self, content: sparse.csr_matrix) -> FloatArray:
        """The part of the item vectors that comes from content features [N, D], [N, F + 1]."""
        return np.asarray(content @ self.weights["feature.weight"])


@dataclass(frozen=True)
class SnapshotExamples:
    """L users at past snapshots, with the events before and after.

    user: row of each user; now: time of the snapshot; until, last: events until:last of the history are the targets
    dense: features of the user at that time, [L, P]
    """

    history: Interactions
    user: IntArray
    now: FloatArray
    until: IntArray
    last: IntArray
    dense: FloatArray

    @classmethod
    def of(cls, training: Training, config: TwoTower.Config) -> Self:
        """All users with events in the horizon after a snapshot; the newest is a step before the last event."""
        history = sequences.without_impressions(training.history)
        oldest, newest = float(history.day.min()), float(np.nextafter(history.day.max(), np.inf))
        step = max(min(config.step_days, (newest - oldest) / 2), _MIN_STEP)
        snapshots = newest - step * np.arange(1, config.num_snapshots + 1)
        snapshots = snapshots[snapshots > min(oldest, snapshots[0] - _MIN_STEP)]
        parts = []
        for now in snapshots:
            dense = user_features(training.history.before(now), training.tiering)
            until = history.offsets[:-1] + np.bincount(history.user[history.day < now], minlength=history.num_users)
            targets = history.user[(history.day >= now) & (history.day < now + config.horizon_days)]
            last = until + np.bincount(targets, minlength=history.num_users)
            user = np.flatnonzero(last > until)
            parts.append((user, np.full(len(user), now), until[user], last[user], dense[user]))
        return cls(history, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class _Sampler:
    """Draws batches of training examples with sampled negatives."""

    def __init__(self, training: Training, content: sparse.csr_matrix, config: TwoTower.Config) -> None:
        self.content, self.config, self.rng = content, config, training.rng
        self.examples = SnapshotExamples.of(training, config)
        history = self.examples.history
        self.items = sequences.ItemSampler.by_popularity(history, config.popularity_power, unseen=False)
        self.share = np.bincount(history.item, minlength=history.num_items) / len(history)

    def epoch(self, users: BoolArray) -> Iterator[TowerBatch]:
        """Each example of these users [U] once, in random order."""
        examples = np.flatnonzero(users[self.examples.user])
        for rows in trainer.shuffled_batches(len(examples), self.config.batch_size, self.rng):
            yield self._batch(examples[rows])

    def _batch(self, rows: IntArray) -> TowerBatch:
        examples, config = self.examples, self.config
        history, until = examples.history, examples.until[rows]
        first = history.offsets[examples.user[rows]]
        seen, weight = sequences.recent_items(history, first, until, examples.now[rows], config)
        targets = history.item[sequences.draw_within(until, examples.last[rows], config.targets, self.rng)]
        candidates = np.concatenate([targets[:, 0], self.items.draw(config.negatives, self.rng)])
        expected = len(rows) * self.share + config.negatives * self.items.share
        items, row = np.unique(np.concatenate([seen.ravel(), targets.ravel(), candidates]), return_inverse=True)
        seen_row, target_row, candidate_row = np.split(row, np.cumsum([seen.size, targets.size]))
        content = self.content[items]
        user = seen_row.reshape(seen.shape), normalize_rows(weight), examples.dense[rows]
        return TowerBatch(
            items=ItemInputs(*map(trainer.to_tensor, (items, content.indices, content.data, content.indptr[:-1]))),
            users=UserInputs(*map(trainer.to_tensor, user)),
            targets=trainer.to_tensor(target_row.reshape(targets.shape)),
            candidates=trainer.to_tensor(candidate_row),
            log_expected=trainer.to_tensor(np.log(expected[candidates])),
        )


def _content_weights(lexicon: Vocabulary, described: list[list[str]]) -> sparse.csr_matrix:
    """Weights of the content features, each row of length 1, [N, D] float32."""
    counts = lexicon.count(described)
    return normalize(counts) if counts.nnz else counts
