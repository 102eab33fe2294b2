"""The article's own network, corrected: two embeddings, a normalised dot product, and the squared error.

The article scores a user u and an item i by u.i / (|u|^2 + |i|^2). As |u - i|^2 >= 0, that never exceeds 1/2,
and the target 1 of a purchase is out of reach. Twice that is at most 1, and 1 only where u = i: hence the
factor 2. In one more thing it differs from the article: a user is the decayed mean of the items in their
history, so that a visitor whom the training never saw is scored like everyone else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import ItemSampler, Sessions, chosen, decay_weights, draw_within, windows
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
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

_USERS_AT_ONCE = 512


def similarity(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """2 u.i / (|u|^2 + |i|^2) for all users and items, -1 to 1: [..., U, D], [..., I, D] -> [..., U, I]."""
    dot = users @ items.mT
    squares = users.square().sum(-1, keepdim=True) + items.square().sum(-1).unsqueeze(-2)
    return 2 * dot / squares.clamp(min=1e-9)


class SymmetricMfNetwork(nn.Module):  # type: ignore[misc]
    """Item embeddings as a user's history sees them (taste) and as they are offered (item), both [I, D]."""

    def __init__(self, num_items: int, embedding_size: int) -> None:
        super().__init__()
        self.taste = nn.Embedding(num_items, embedding_size)
        self.item = nn.Embedding(num_items, embedding_size)
        self.newcomer = nn.Parameter(torch.zeros(embedding_size))
        for table in (self.taste, self.item):
            nn.init.normal_(table.weight, std=embedding_size**-0.5)

    def users(self, items: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The newcomer's taste plus the weighted sum over the history: [B, L], [B, L] -> [B, D]."""
        history = functional.embedding_bag(items, self.taste.weight, per_sample_weights=weight, mode="sum")
        return self.newcomer + history


class RatingBatch(NamedTuple):
    """B histories of L items [B, L], P items that each user took next [B, P], and N negatives for all [N]."""

    items: torch.Tensor
    weight: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor


@dataclass(frozen=True)
class SymmetricMf:
    """A fitted network: its weights by name, and the configuration that says how to read a history."""

    weights: Weights
    config: "SymmetricMf.Config"

    class Config(Params):
        """The history is the last max_length events, halved every half_life days.

        positives are drawn from the next `lookahead` events; negatives, one set a batch, from the catalogue
        by popularity ** popularity_power, and negative_weight weighs their squared error. With a patience above
        0, validation_share of the users teach nothing but tell when to stop: so many epochs after the best.
        """

        embedding_size: PositiveInt = 64
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 4
        patience: NonNegativeInt = 0
        validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
        learning_rate: Annotated[PositiveFloat, SearchRange(1e-3, 0.05, log=True)] = 0.01
        weight_decay: NonNegativeFloat = 0.0
        batch_size: PositiveInt = 256
        positives: PositiveInt = 16
        negatives: PositiveInt = 1024
        negative_weight: Annotated[PositiveFloat, SearchRange(1.0, 100.0, log=True)] = 32.0
        popularity_power: Annotated[float, Field(ge=0, le=1)] = 0.25
        max_length: PositiveInt = 128
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        lookahead: PositiveInt = 32
        refit: bool = False

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Minimize (1 - score)^2 over the users' next items and score^2 over sampled items."""
        with reproducible(training.seed):
            network = SymmetricMfNetwork(training.history.num_items, config.embedding_size).to(best_device())

            def loss(batch: RatingBatch) -> torch.Tensor:
                users = network.users(batch.items, batch.weight)
                taken = similarity(users.unsqueeze(1), network.item(batch.positives))
                sampled = similarity(users, network.item(batch.negatives))
                return (1 - taken).square().mean() + config.negative_weight * sampled.square().mean()

            sampler = _Sampler(training.history, config, training.rng)
            kept = holdout_mask(training.history.num_users, config.validation_share, config.patience, training.rng)
            train_network(
                network,
                loss,
                lambda: sampler.epoch(~kept),
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                name="symmetric_mf",
                early_stopping=EarlyStopping(list(sampler.epoch(kept)), config.patience) if kept.any() else None,
            )
        return cls(network_weights(network), config)

    @cached_property
    def network(self) -> SymmetricMfNetwork:
        """The network that the weights belong to."""
        return load_weights(SymmetricMfNetwork(*self.weights["item.weight"].shape), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """2 u.i / (|u|^2 + |i|^2), near 1 for the user's next items, [U, I] float32."""
        scores = np.empty((history.num_users, history.num_items), np.float32)
        for rows, users in self._users(history):
            with torch.inference_mode():
                scores[rows] = similarity(users, self.network.item.weight).cpu().numpy()
        return scores

    def encode_users(self, history: Interactions) -> FloatArray:
        """The user's taste, [U, D]."""
        taste = np.empty((history.num_users, self.config.embedding_size), np.float32)
        for rows, users in self._users(history):
            taste[rows] = users.cpu().numpy()
        return taste

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """2 u.i / (|u|^2 + |i|^2) for the candidates, [U, C]."""
        dot = factor_products(user_states, self.weights["item.weight"], candidates)
        squares = np.square(user_states).sum(axis=1, keepdims=True) + self._item_squares[candidates]
        return mask_padding(2 * dot / np.maximum(squares, 1e-9), candidates)

    @cached_property
    def _item_squares(self) -> FloatArray:
        squares: FloatArray = np.square(self.weights["item.weight"]).sum(axis=1)
        return squares

    def _users(self, history: Interactions) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows and tastes [B, D] of some users at a time."""
        history = chosen(history)
        for start in range(0, history.num_users, _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            first, last = history.offsets[:-1][rows], history.offsets[1:][rows]
            now = np.full(len(first), history.now)
            with torch.inference_mode():
                users = self.network.users(*_read(history, first, last, now, self.config))
            yield rows, users


class _Sampler:
    """Samples moments of the log: a user's history before a step, and the items from then on."""

    def __init__(self, history: Interactions, config: SymmetricMf.Config, rng: np.random.Generator) -> None:
        self.history, self.config, self.rng = chosen(history), config, rng
        steps = Sessions.of(self.history, "session")
        self.step_start = steps.event_offsets[:-1][steps.of_event]
        self.items = ItemSampler.by_popularity(self.history, config.popularity_power)

    def epoch(self, users: BoolArray) -> Iterator[RatingBatch]:
        """As many positives as these users [U] have events, each batch with fresh negatives."""
        config, history = self.config, self.history
        events = np.flatnonzero(users[history.user])
        moments = self.step_start[events[self.rng.permutation(len(events))[:: config.positives]]]
        for batch in shuffled_batches(len(moments), config.batch_size, self.rng):
            moment = moments[batch]
            owner = history.user[moment]
            first, last = history.offsets[owner], history.offsets[owner + 1]
            until = np.minimum(moment + config.lookahead, last)
            next_events = draw_within(moment, until, config.positives, self.rng)
            yield RatingBatch(
                *_read(history, first, moment, history.day[moment], config),
                positives=to_tensor(history.item[next_events]),
                negatives=to_tensor(self.items.draw(config.negatives, self.rng)),
            )


def _read(
    history: Interactions, first: IntArray, last: IntArray, now: FloatArray, config: SymmetricMf.Config
) -> tuple[torch.Tensor, torch.Tensor]:
    """The newest items of each range of events and their weights as of `now` [B]: [B, L] and [B, L]."""
    window = windows(first, last, config.max_length)
    weight = decay_weights(history, window, now, config.half_life)
    items = history.item[window] if len(history) else np.zeros_like(window)
    return to_tensor(items), to_tensor(weight)
