"""Two towers (Covington et al., RecSys 2016; Yi et al., RecSys 2019): what a user did and is, what an item is and says.

The item tower adds the vectors of an item's features (words of the title, level of the price, attributes) to one of its
own, which training leaves out at random (Volkovs et al., NeurIPS 2017): features alone then rank what nobody has met.
The loss is a softmax over the batch's own and sampled items with the logQ correction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.vocabulary import Vocabulary
from tierrec_core.features.item_content import features_of, lexicon_of
from tierrec_core.features.sequences import ItemSampler, chosen, decay_weights, draw_within, windows
from tierrec_core.features.user_item import user_features
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.models.two_tower.examples import SnapshotExamples
from tierrec_core.models.two_tower.network import ItemTower, TokenDropout, TowerBatch, TwoTowerNetwork, UserInputs, loss
from tierrec_core.neural.trainer import (
    EarlyStopping,
    Weights,
    best_device,
    holdout_mask,
    load_weights,
    network_weights,
    reproducible,
    shuffled_batches,
    to_tensor,
    train_network,
)
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange
from tierrec_core.tiers import Tiering

_USERS_AT_ONCE = 512


@dataclass(frozen=True)
class TwoTower:
    """A fitted network, and what it must know beside a user's history.

    lexicon: names of the features, [D]; content: what each feature counts for each item, [I, D]
    tiering: tells the tier and the interests of any history
    """

    weights: Weights
    lexicon: Vocabulary
    content: sparse.csr_matrix
    tiering: Tiering
    config: "TwoTower.Config"

    class Config(Params):
        """An example is a user as of one of `cuts` moments, step_days apart, with the targets of the next horizon_days.

        The history is the last max_length events, halved every half_life days, each left out with the chance
        history_dropout. Each of `targets` draws is compared with one target of every user of the batch and with
        `negatives` items drawn by popularity ** popularity_power. An item's own vector is left out with the chance
        id_dropout. validation_share of the users are held out for early stopping, `patience` epochs after the best.
        """

        embedding_size: PositiveInt = 64
        id_dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.6)] = 0.3
        history_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 6
        patience: NonNegativeInt = 2
        validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
        learning_rate: Annotated[PositiveFloat, SearchRange(1e-3, 0.02, log=True)] = 0.006
        weight_decay: NonNegativeFloat = 0.01
        batch_size: PositiveInt = 256
        targets: PositiveInt = 16
        negatives: PositiveInt = 1024
        popularity_power: Annotated[float, Field(ge=0, le=1)] = 0.5
        cuts: PositiveInt = 14
        step_days: PositiveFloat = 14.0
        horizon_days: PositiveFloat = 14.0
        max_length: PositiveInt = 128
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        refit: bool = False

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Fit on users as of each cut and their targets after it.

        An item without any event is scored by its features alone.
        """
        described = features_of(training.items)
        lexicon = lexicon_of(described)
        content = _content(lexicon, described)
        sampler = _Sampler.of(training, content, config)
        with reproducible(training.seed):
            network = _network(len(described), len(lexicon), sampler.examples.dense.shape[1], config)
            network.standardise(sampler.examples.dense)
            network.to(best_device())
            train_network(
                network,
                lambda batch: loss(network, batch),
                sampler.epoch,
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                name="two_tower",
                early_stopping=sampler.held(),
            )
        weights = network_weights(network)
        weights["item.weight"][np.bincount(training.history.item, minlength=len(described)) == 0] = 0.0
        return cls(weights, lexicon, content, training.tiering, config)

    @cached_property
    def network(self) -> TwoTowerNetwork:
        """The network that the weights belong to."""
        num_items, num_features = (len(self.weights[name]) for name in ("item.weight", "feature.weight"))
        network = _network(num_items, num_features, len(self.weights["centre"]), self.config)
        return load_weights(network, self.weights)

    @cached_property
    def item_factors(self) -> FloatArray:
        """The catalogue's vectors, the last entry a bias, [I, F + 1] float32."""
        return self._said(self.content) + self.weights["item.weight"]

    def item_vectors(self, items: pd.DataFrame) -> FloatArray:
        """Vectors like item_factors of ITEMS that nobody has met, by their features alone, [N, F + 1] float32."""
        return self._said(_content(self.lexicon, features_of(items)))

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of what the user will take, [U, I] float32."""
        scores: FloatArray = self.encode_users(history) @ self.item_factors.T
        return scores

    def encode_users(self, history: Interactions) -> FloatArray:
        """The user tower's end, [U, F + 1]; its product with an item's vector is the score."""
        dense, history = user_features(history, self.tiering), chosen(history)
        states = np.empty((history.num_users, self.config.embedding_size + 1), np.float32)
        for start in range(0, history.num_users, _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            first, last = history.offsets[:-1][rows], history.offsets[1:][rows]
            read = _read(history, first, last, np.full(len(first), history.now), self.config)
            with torch.inference_mode():
                users = UserInputs(to_tensor(read[0]), to_tensor(read[1]), to_tensor(dense[rows]))
                states[rows] = self.network.users(self._items, users).cpu().numpy()
        return states

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        return mask_padding(factor_products(user_states, self.item_factors, candidates), candidates)

    @cached_property
    def _items(self) -> torch.Tensor:
        return to_tensor(self.item_factors)

    def _said(self, content: sparse.csr_matrix) -> FloatArray:
        """The part of the vectors that features [N, D] tell, [N, F + 1]."""
        vectors: FloatArray = content @ self.weights["feature.weight"]
        return vectors


@dataclass(frozen=True)
class _Sampler:
    """Draws batches of training examples with sampled negatives.

    share: each item's share of the events, [I]; kept: which examples are held out for early stopping, [L]
    """

    examples: SnapshotExamples
    content: sparse.csr_matrix
    items: ItemSampler
    share: FloatArray
    kept: BoolArray
    config: TwoTower.Config
    rng: np.random.Generator

    @classmethod
    def of(cls, training: Training, content: sparse.csr_matrix, config: TwoTower.Config) -> Self:
        """Negatives are drawn by popularity in the history, so that items without events are no negatives."""
        examples, rng = (
            SnapshotExamples.of(training, config.cuts, config.step_days, config.horizon_days),
            training.rng,
        )
        count = np.bincount(examples.history.item, minlength=examples.history.num_items).astype(float)
        weight = np.where(count > 0, count**config.popularity_power, 0.0)
        items = ItemSampler(weight / weight.sum())
        users = holdout_mask(examples.history.num_users, config.validation_share, config.patience, rng)
        return cls(examples, content, items, count / count.sum(), users[examples.user], config, rng)

    def epoch(self) -> Iterator[TowerBatch]:
        """One epoch: every training example once, in random order."""
        return self._batches(np.flatnonzero(~self.kept))

    def held(self) -> EarlyStopping[TowerBatch] | None:
        """Early stopping on the held-out examples; None without any."""
        return (
            EarlyStopping(list(self._batches(np.flatnonzero(self.kept))), self.config.patience)
            if self.kept.any()
            else None
        )

    def _batches(self, examples: IntArray) -> Iterator[TowerBatch]:
        for rows in shuffled_batches(len(examples), self.config.batch_size, self.rng):
            yield self._batch(examples[rows])

    def _batch(self, rows: IntArray) -> TowerBatch:
        examples, config = self.examples, self.config
        history, until = examples.history, examples.until[rows]
        first = history.offsets[examples.user[rows]]
        past, weight = _read(history, first, until, examples.now[rows], config)
        targets = history.item[draw_within(until, examples.last[rows], config.targets, self.rng)]
        candidates = np.concatenate([targets[:, 0], self.items.draw(config.negatives, self.rng)])
        expected = len(rows) * self.share + config.negatives * self.items.share
        concerned, place = np.unique(np.concatenate([past.ravel(), targets.ravel(), candidates]), return_inverse=True)
        places = np.split(place, np.cumsum([past.size, targets.size]))
        return TowerBatch(
            described=_described(self.content, concerned),
            users=UserInputs(
                to_tensor(places[0].reshape(past.shape)), to_tensor(weight), to_tensor(examples.dense[rows])
            ),
            targets=to_tensor(places[1].reshape(targets.shape)),
            candidates=to_tensor(places[2]),
            log_expected=to_tensor(np.log(expected[candidates])),
        )


def _network(num_items: int, num_features: int, num_dense: int, config: TwoTower.Config) -> TwoTowerNetwork:
    drop = TokenDropout(config.id_dropout, config.history_dropout, config.dropout)
    return TwoTowerNetwork(num_items, num_features, num_dense, config.embedding_size, drop)


def _content(lexicon: Vocabulary, described: list[list[str]]) -> sparse.csr_matrix:
    """What each feature counts for each item, in length 1, [N, D] float32."""
    counts = lexicon.count(described)
    return normalize(counts) if counts.nnz else counts


def _described(content: sparse.csr_matrix, items: IntArray) -> ItemTower:
    part = content[items]
    return ItemTower(to_tensor(items), to_tensor(part.indices), to_tensor(part.data), to_tensor(part.indptr[:-1]))


def _read(
    history: Interactions, first: IntArray, last: IntArray, now: FloatArray, config: TwoTower.Config
) -> tuple[IntArray, FloatArray]:
    """The newest items of each range of events and their weights as of `now` [B]: [B, L] and [B, L]."""
    window = windows(first, last, config.max_length)
    weight = decay_weights(history, window, now, config.half_life)
    weight /= np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 1e-9)
    return (history.item[window] if len(history) else np.zeros_like(window)), weight
