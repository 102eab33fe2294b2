"""A set encoder: represents a user by a few items in any order (Deep Sets, Zaheer et al., NeurIPS 2017).

It is trained on support sets (`data/support_sets.py`): each user is represented by up to max_support of their newest
items, and a softmax over the catalogue predicts the next targets, as a neural process predicts from any context
(Garnelo et al., ICML 2018). Current popularity is the softmax's prior, so that an empty support set gives popularity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse
from torch import nn

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import SupportEpisode, episodes, newest_items, padded_items, popularity
from tierrec_core.features.sequences import chosen
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding, sum_by_candidate
from tierrec_core.neural.trainer import (
    Weights,
    best_device,
    load_weights,
    network_weights,
    reproducible,
    shuffled_batches,
    to_tensor,
    train_network,
)
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params

_USERS_AT_ONCE = 512


class SetBatch(NamedTuple):
    """Supports with -1 as padding [B, K], the popularity of their moment [I], and shares of what was taken [B, I]."""

    support: torch.Tensor
    popularity: torch.Tensor
    taken: torch.Tensor


class SetEncoderNetwork(nn.Module):  # type: ignore[misc]
    """Each item of a support is encoded, and their mean and number are decoded to a user, [D]; nobody is 0.

    item: vectors of items shown [I, D]; offered: of items to be taken [I, D]
    again: what it adds to an item that it is in the support itself, [I]
    """

    def __init__(self, num_items: int, embedding_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.item = nn.Embedding(num_items, embedding_size)
        self.offered = nn.Embedding(num_items, embedding_size)
        self.each = nn.Sequential(
            nn.Linear(embedding_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size)
        )
        self.whole = nn.Sequential(
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size + 1, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, embedding_size),
        )
        self.again = nn.Parameter(torch.ones(num_items))
        nn.init.normal_(self.item.weight, std=embedding_size**-0.5)
        nn.init.normal_(self.offered.weight, std=0.1 * embedding_size**-0.5)

    def users(self, support: torch.Tensor) -> torch.Tensor:
        """Vectors of users, whatever the order of their support, [B, K] -> [B, D]."""
        shown = (support >= 0).unsqueeze(-1)
        count = shown.sum(1)
        size = count.float().log1p()
        total = (self.each(self.item(support.clamp(min=0))) * shown).sum(1)
        return size * self.whole(torch.cat([total / count.clamp(min=1), size], dim=1))

    def logits(self, batch: SetBatch) -> torch.Tensor:
        """Of the softmax over the catalogue, [B, I]."""
        found = self.users(batch.support) @ self.offered.weight.T + batch.popularity
        row, place = (batch.support >= 0).nonzero(as_tuple=True)
        item = batch.support[row, place]
        return found.index_put((row, item), self.again[item], accumulate=True)


@dataclass(frozen=True)
class SetEncoder:
    """A fitted network, and the popularity to start from as of the training's end, [I]."""

    weights: Weights
    popularity: FloatArray
    config: "SetEncoder.Config"

    class Config(Params):
        """Episodes are `episodes` moments, horizon_days apart, up to horizon_days before the log's end.

        Popularity counts window_days. Memory of a step grows with batch_size times the catalogue.
        """

        embedding_size: PositiveInt = 32
        hidden_size: PositiveInt = 64
        max_support: PositiveInt = 8
        horizon_days: PositiveFloat = 14.0
        window_days: PositiveFloat = 14.0
        episodes: PositiveInt = 10
        epochs: PositiveInt = 3
        learning_rate: PositiveFloat = 0.002
        weight_decay: NonNegativeFloat = 0.01
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        batch_size: PositiveInt = 128
        refit: bool = False

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Maximise the likelihood of what was taken in each episode, given supports that change with each epoch."""
        history, rng = chosen(training.history), training.rng
        spans = config.episodes, config.horizon_days, config.window_days
        parts = episodes(history, training.target, *spans)
        with reproducible(training.seed):
            network = _network(history.num_items, config).to(best_device())

            def loss(batch: SetBatch) -> torch.Tensor:
                share = network.logits(batch).log_softmax(dim=1)
                return -(batch.taken * share).sum(dim=1).mean()

            train_network(
                network,
                loss,
                lambda: _batches(parts, config, rng),
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                name="set_encoder",
            )
        prior = popularity(history, training.target, config.window_days)
        return cls(network_weights(network), prior, config)

    @cached_property
    def network(self) -> SetEncoderNetwork:
        """The network that the weights belong to."""
        return load_weights(_network(len(self.popularity), self.config), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of the user's next items, [U, I] float32."""
        support, users = self._support(history), self.encode_users(history)
        scores = users @ self.weights["offered.weight"].T + self.popularity
        scores[support.user, support.item] += self.weights["again"][support.item]
        return scores.astype(np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """User vectors from the newest items of the history, [U, D]."""
        items = padded_items(self._support(history), self.config.max_support)
        users = np.empty((history.num_users, self.config.embedding_size), np.float32)
        for start in range(0, len(items), _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            with torch.inference_mode():
                users[rows] = self.network.users(to_tensor(items[rows])).cpu().numpy()
        return users

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        shown = sum_by_candidate(self._support(history), candidates) * self.weights["again"][candidates]
        moved = factor_products(user_states, self.weights["offered.weight"], candidates)
        return mask_padding(moved + self.popularity[candidates] + shown, candidates)

    def _support(self, history: Interactions) -> Interactions:
        return newest_items(chosen(history), self.config.max_support)


def _network(num_items: int, config: SetEncoder.Config) -> SetEncoderNetwork:
    return SetEncoderNetwork(num_items, config.embedding_size, config.hidden_size, config.dropout)


def _batches(parts: list[SupportEpisode], config: SetEncoder.Config, rng: np.random.Generator) -> Iterator[SetBatch]:
    """Yield every user of every episode once, with a random number of support items."""
    jobs: list[tuple[SupportEpisode, IntArray, IntArray]] = []
    for episode in parts:
        count = rng.integers(0, config.max_support + 1, episode.history.num_users)
        support = padded_items(newest_items(episode.history, count, rng), config.max_support)
        batches = shuffled_batches(len(support), config.batch_size, rng)
        jobs += [(episode, support[rows], rows) for rows in batches]
    for place in rng.permutation(len(jobs)):
        episode, support, rows = jobs[place]
        yield SetBatch(to_tensor(support), to_tensor(episode.popularity), to_tensor(_shares(episode.taken[rows])))


def _shares(taken: sparse.csr_matrix) -> FloatArray:
    """Rows that sum to 1, [B, I]."""
    dense: FloatArray = taken.toarray()
    dense /= dense.sum(axis=1, keepdims=True)
    return dense
