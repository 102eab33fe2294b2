"""The reference article's network, corrected: two embeddings, a normalized dot product, and the squared error.

The article scores a user u and an item i by u.i / (|u|^2 + |i|^2). As |u - i|^2 >= 0, that never exceeds 1/2, and the
target 1 of a purchase cannot be reached. Twice that is at most 1, and 1 only where u = i: hence the factor 2. Unlike in
the article, a user is the decayed mean of the items of the history, so that users unknown in training can be scored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features import sequences
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.neural import trainer
from tierrec_core.protocols.model import Training
from tierrec_core.settings import SearchRange, Share


def similarity(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """2 u.i / (|u|^2 + |i|^2) for all users and items, -1 to 1: [..., U, D], [..., I, D] -> [..., U, I]."""
    dot = users @ items.mT
    squares = users.square().sum(-1, keepdim=True) + items.square().sum(-1).unsqueeze(-2)
    return 2 * dot / squares.clamp(min=1e-9)


class SymmetricMfNetwork(nn.Module):  # type: ignore[misc]
    """Item embeddings for the user's history (taste) and for the scored items (item), [I, D] both."""

    def __init__(self, num_items: int, config: "SymmetricMf.Config") -> None:
        super().__init__()
        size, self.negative_weight = config.embedding_size, config.negative_weight
        self.taste, self.item = nn.Embedding(num_items, size), nn.Embedding(num_items, size)
        self.newcomer = nn.Parameter(torch.zeros(size))
        for table in (self.taste, self.item):
            nn.init.normal_(table.weight, std=size**-0.5)

    def users(self, items: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The vector of an empty history plus the weighted sum over the items: [B, L], [B, L] -> [B, D]."""
        history = functional.embedding_bag(items, self.taste.weight, per_sample_weights=weight, mode="sum")
        return self.newcomer + history

    def loss(self, batch: "RatingBatch") -> torch.Tensor:
        """Squared error of a score of 1 for the positives and of 0 for the negatives."""
        users = self.users(batch.items, batch.weight)
        positive = similarity(users.unsqueeze(1), self.item(batch.positives))
        negative = similarity(users, self.item(batch.negatives))
        return (1 - positive).square().mean() + self.negative_weight * negative.square().mean()


class RatingBatch(NamedTuple):
    """B histories of L items [B, L], P of each user's next items [B, P], and N negatives shared by all [N]."""

    items: torch.Tensor
    weight: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor


@dataclass(frozen=True)
class SymmetricMf:
    """A fitted network: its weights by name, and the config for reading histories."""

    weights: trainer.Weights
    config: "SymmetricMf.Config"

    class Config(trainer.EarlyStoppingConfig, sequences.HistoryConfig):
        """Positives are drawn from the next `lookahead` events, and `negatives` items for each batch.

        Negatives are drawn from the catalogue by popularity ** popularity_power; negative_weight scales their error.
        """

        embedding_size: PositiveInt = 64
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 4
        learning_rate: Annotated[PositiveFloat, SearchRange(1e-3, 0.05, log=True)] = 0.01
        weight_decay: NonNegativeFloat = 0.0
        batch_size: PositiveInt = 256
        positives: PositiveInt = 16
        negatives: PositiveInt = 1024
        negative_weight: Annotated[PositiveFloat, SearchRange(1.0, 100.0, log=True)] = 32.0
        popularity_power: Share = 0.25
        lookahead: PositiveInt = 32

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Minimize (1 - score)^2 over the users' next items and score^2 over sampled items."""
        sampler = _Sampler(training.history, config, training.rng)
        held_out = config.holdout_mask(training.history.num_users, training.rng)
        weights = trainer.fit_network(
            lambda: SymmetricMfNetwork(training.history.num_items, config),
            lambda: sampler.epoch(~held_out),
            config,
            seed=training.seed,
            name="symmetric_mf",
            validation=list(sampler.epoch(held_out)),
        )
        return cls(weights, config)

    @cached_property
    def network(self) -> SymmetricMfNetwork:
        """The network with these weights."""
        return trainer.load_weights(SymmetricMfNetwork(len(self.weights["item.weight"]), self.config), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """2 u.i / (|u|^2 + |i|^2), near 1 for the user's next items, [U, I] float32."""
        users, items = self.encode_users(history), self.network.item.weight
        return trainer.predict_in_batches(
            lambda rows: similarity(trainer.to_tensor(users[rows]), items), history.num_users, history.num_items
        )

    def encode_users(self, history: Interactions) -> FloatArray:
        """User vectors, [U, D]."""
        history = sequences.without_impressions(history)
        return trainer.predict_in_batches(
            lambda rows: self.network.users(
                *map(trainer.to_tensor, sequences.current_items(history, rows, self.config))
            ),
            history.num_users,
            self.config.embedding_size,
        )

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """2 u.i / (|u|^2 + |i|^2) for the candidates, [U, C]."""
        dot = factor_products(user_states, self.weights["item.weight"], candidates)
        squares = np.square(user_states).sum(axis=1, keepdims=True) + self._item_squares[candidates]
        return mask_padding(2 * dot / np.maximum(squares, 1e-9), candidates)

    @cached_property
    def _item_squares(self) -> FloatArray:
        return np.asarray(np.square(self.weights["item.weight"]).sum(axis=1))


class _Sampler:
    """Samples moments of the log: a user's history before a session, and the items from then on."""

    def __init__(self, history: Interactions, config: SymmetricMf.Config, rng: np.random.Generator) -> None:
        self.history, self.config, self.rng = sequences.without_impressions(history), config, rng
        steps = sequences.Sessions.of(self.history, "session")
        self.step_start = steps.event_offsets[:-1][steps.of_event]
        self.items = sequences.ItemSampler.by_popularity(self.history, config.popularity_power)

    def epoch(self, users: BoolArray) -> Iterator[RatingBatch]:
        """As many positives as these users [U] have events, each batch with fresh negatives."""
        config, history = self.config, self.history
        events = np.flatnonzero(users[history.user])
        moments = self.step_start[events[self.rng.permutation(len(events))[:: config.positives]]]
        for batch in trainer.shuffled_batches(len(moments), config.batch_size, self.rng):
            moment = moments[batch]
            owner = history.user[moment]
            first, last = history.offsets[owner], history.offsets[owner + 1]
            until = np.minimum(moment + config.lookahead, last)
            next_events = sequences.draw_within(moment, until, config.positives, self.rng)
            items, weight = sequences.recent_items(history, first, moment, history.day[moment], config)
            negatives = self.items.draw(config.negatives, self.rng)
            yield RatingBatch(*map(trainer.to_tensor, (items, weight, history.item[next_events], negatives)))
