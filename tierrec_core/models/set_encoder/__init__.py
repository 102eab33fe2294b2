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
from pydantic import Field, PositiveFloat, PositiveInt
from sklearn.preprocessing import normalize
from torch import nn

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import SupportEpisode, episodes, newest_items, padded_items, popularity
from tierrec_core.features.sequences import without_impressions
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding, sum_by_candidate
from tierrec_core.neural import trainer
from tierrec_core.protocols.model import Training


class SetBatch(NamedTuple):
    """Supports with -1 as padding [B, K], popularity at the time [I], and each user's shares of the targets [B, I]."""

    support: torch.Tensor
    popularity: torch.Tensor
    targets: torch.Tensor


class SetEncoderNetwork(nn.Module):  # type: ignore[misc]
    """Encodes each item of a support, and decodes their mean and number to a user vector [D], 0 if empty.

    item: embeddings of the support's items, [I, D]; offered: of the scored items, [I, D]
    again: added to the logit of an item that is in the support, [I]
    """

    def __init__(self, num_items: int, config: "SetEncoder.Config") -> None:
        super().__init__()
        size, hidden = config.embedding_size, config.hidden_size
        self.item, self.offered = nn.Embedding(num_items, size), nn.Embedding(num_items, size)
        self.each = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        decoder = nn.Linear(hidden + 1, hidden), nn.ReLU(), nn.Linear(hidden, size)
        self.whole = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), *decoder)
        self.again = nn.Parameter(torch.ones(num_items))
        nn.init.normal_(self.item.weight, std=size**-0.5)
        nn.init.normal_(self.offered.weight, std=0.1 * size**-0.5)

    def users(self, support: torch.Tensor) -> torch.Tensor:
        """User vectors, independent of the order of the support, [B, K] -> [B, D]."""
        present = (support >= 0).unsqueeze(-1)
        count = present.sum(1)
        size = count.float().log1p()
        total = (self.each(self.item(support.clamp(min=0))) * present).sum(1)
        return size * self.whole(torch.cat([total / count.clamp(min=1), size], dim=1))

    def logits(self, batch: SetBatch) -> torch.Tensor:
        """Logits of the catalogue, [B, I]."""
        logits = self.users(batch.support) @ self.offered.weight.T + batch.popularity
        row, position = (batch.support >= 0).nonzero(as_tuple=True)
        item = batch.support[row, position]
        return logits.index_put((row, item), self.again[item], accumulate=True)

    def loss(self, batch: SetBatch) -> torch.Tensor:
        """Cross-entropy of the targets."""
        return -(batch.targets * self.logits(batch).log_softmax(dim=1)).sum(dim=1).mean()


@dataclass(frozen=True)
class SetEncoder:
    """A fitted network, and the prior popularity as of the end of the training log, [I]."""

    weights: trainer.Weights
    popularity: FloatArray
    config: "SetEncoder.Config"

    class Config(trainer.TrainerConfig):
        """Training examples come from `episodes` snapshots, horizon_days apart, the newest horizon_days before the end.

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
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        batch_size: PositiveInt = 128

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Maximize the likelihood of each episode's targets, given supports that are resampled each epoch."""
        history, rng = without_impressions(training.history), training.rng
        parts = episodes(history, training.target, config.episodes, config.horizon_days, config.window_days)
        weights = trainer.fit_network(
            lambda: SetEncoderNetwork(history.num_items, config),
            lambda: _batches(parts, config, rng),
            config,
            seed=training.seed,
            name="set_encoder",
        )
        prior = popularity(history, training.target, config.window_days)
        return cls(weights, prior, config)

    @cached_property
    def network(self) -> SetEncoderNetwork:
        """The network with these weights."""
        return trainer.load_weights(SetEncoderNetwork(len(self.popularity), self.config), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of the user's next items, [U, I] float32."""
        support, users = self._support(history), self.encode_users(history)
        scores = users @ self.weights["offered.weight"].T + self.popularity
        scores[support.user, support.item] += self.weights["again"][support.item]
        return scores.astype(np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """User vectors from the newest items of the history, [U, D]."""
        items = padded_items(self._support(history), self.config.max_support)
        return trainer.predict_in_batches(
            lambda users: self.network.users(trainer.to_tensor(items[users])), len(items), self.config.embedding_size
        )

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        again = sum_by_candidate(self._support(history), candidates) * self.weights["again"][candidates]
        products = factor_products(user_states, self.weights["offered.weight"], candidates)
        return mask_padding(products + self.popularity[candidates] + again, candidates)

    def _support(self, history: Interactions) -> Interactions:
        return newest_items(without_impressions(history), self.config.max_support)


def _batches(parts: list[SupportEpisode], config: SetEncoder.Config, rng: np.random.Generator) -> Iterator[SetBatch]:
    """Yield every user of every episode once, with a random number of support items."""
    jobs: list[tuple[SupportEpisode, IntArray, IntArray]] = []
    for episode in parts:
        count = rng.integers(0, config.max_support + 1, episode.history.num_users)
        support = padded_items(newest_items(episode.history, count, rng), config.max_support)
        batches = trainer.shuffled_batches(len(support), config.batch_size, rng)
        jobs += [(episode, support[rows], rows) for rows in batches]
    for number in rng.permutation(len(jobs)):
        episode, support, rows = jobs[number]
        targets = normalize(episode.targets[rows], norm="l1").toarray()
        yield SetBatch(*map(trainer.to_tensor, (support, episode.popularity, targets)))
