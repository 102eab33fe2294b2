"""SASRec: self-attention over the user's history (Kang and McAuley, ICDM 2018), one position per session.

The items of one basket have no order, so a position is a session (the mean of its items) and predicts the items
of the next session. Where each session has one item, or with `step: event`, it is the paper's model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions, ranges
from tierrec_core.features.sequences import ItemSampler, Sessions, StepKind, draw_within, windows, without_impressions
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.neural import trainer
from tierrec_core.neural.sampled_softmax import sampled_softmax
from tierrec_core.protocols.model import Training
from tierrec_core.settings import SearchRange, Share

_BATCH_SIZE = 256


class SessionSequences(NamedTuple):
    """B users' steps, each a bag of items.

    items: of all S steps, concatenated, [E]
    offsets: start of each step's items, [S]
    real: positions with one of the S steps, left-aligned, [B, L]
    """

    items: torch.Tensor
    offsets: torch.Tensor
    real: torch.Tensor


class AttentionBlock(nn.Module):  # type: ignore[misc]
    """Causal self-attention and a point-wise feed-forward layer, each with a layer norm before it and a residual."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.feed_forward = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, size))
        with torch.no_grad():  # values unchanged and weights almost equal: training starts from the mean of the history
            self.query_key_value.weight[: 2 * size] *= 0.1
            nn.init.eye_(self.query_key_value.weight[2 * size :])
            nn.init.eye_(self.mix.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, L, D] -> [B, L, D]; position l attends to 0..l, and so never to the padding after it."""
        parts = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        x = x + functional.dropout(self.mix(seen.transpose(1, 2).flatten(2)), self.dropout, self.training)
        return x + functional.dropout(self.feed_forward(self.forward_norm(x)), self.dropout, self.training)


class SasRecNetwork(nn.Module):  # type: ignore[misc]
    """Item and position embeddings, blocks, and a state per position; an item's logit is state . item + bias."""

    def __init__(self, num_items: int, config: "SasRec.Config") -> None:
        super().__init__()
        size = config.embedding_size
        self.item = nn.Embedding(num_items, size)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.position = nn.Parameter(torch.zeros(config.max_length + 1, size))
        self.blocks = nn.ModuleList(AttentionBlock(size, config.heads, config.dropout) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(size)
        self.dropout = config.dropout
        nn.init.normal_(self.item.weight, std=size**-0.5)

    def states(self, sequences: SessionSequences) -> torch.Tensor:
        """State l predicts step l from the steps before it; state 0 is that of a new user: [B, L] -> [B, L + 1, D]."""
        users, length = sequences.real.shape
        steps = functional.embedding_bag(sequences.items, self.item.weight, sequences.offsets, mode="mean")
        placed = steps.new_zeros(users, length + 1, steps.shape[-1])
        placed[:, 1:][sequences.real] = steps
        x = functional.dropout(placed + self.position[: length + 1], self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def loss(self, batch: "SequenceBatch") -> torch.Tensor:
        """Sampled softmax of the items of each next session."""
        states, targets = self.states(batch.sequences)[batch.predicted], batch.targets
        positive = (states.unsqueeze(1) * self.item(targets)).sum(-1) + self.bias[targets]
        negative = states @ self.item(batch.negatives).T + self.bias[batch.negatives]
        return sampled_softmax(positive, negative, targets.unsqueeze(2) == batch.negatives, batch.log_expected)


class SequenceBatch(NamedTuple):
    """B users' sessions, their prediction targets, and the negatives.

    sequences: all steps but the last, L positions
    predicted: states that have a next session to predict, S of them, [B, L + 1]
    targets: T items drawn from each of those sessions, [S, T]
    negatives: shared by all targets, [N]; log_expected: log of how often each is expected among them, [N]
    """

    sequences: SessionSequences
    predicted: torch.Tensor
    targets: torch.Tensor
    negatives: torch.Tensor
    log_expected: torch.Tensor


@dataclass(frozen=True)
class SasRec:
    """A fitted network: its weights by name, and the config that gives their shapes."""

    weights: trainer.Weights
    config: "SasRec.Config"

    class Config(trainer.EarlyStoppingConfig):
        """The history is the last max_length steps; an epoch draws one window of that length per user.

        `targets` items are drawn from each step, and `negatives` items for each batch from the catalogue by
        popularity ** popularity_power. embedding_size must be a multiple of heads.
        """

        step: StepKind = "session"
        max_length: Annotated[PositiveInt, SearchRange(10, 120, log=True)] = 40
        embedding_size: PositiveInt = 64
        blocks: PositiveInt = 1
        heads: PositiveInt = 2
        dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.5)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(3, 20)] = 7
        learning_rate: Annotated[PositiveFloat, SearchRange(5e-4, 0.02, log=True)] = 0.004
        batch_size: PositiveInt = 16
        targets: PositiveInt = 3
        negatives: PositiveInt = 512
        popularity_power: Share = 0.5

        @model_validator(mode="after")
        def _heads_divide_the_embedding(self) -> Self:
            if self.embedding_size % self.heads:
                raise ValueError(f"embedding_size {self.embedding_size} is not a multiple of heads {self.heads}")
            return self

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Predict each step's items from the steps before it."""
        sampler = _Sampler(training.history, config, training.rng)
        held_out = config.holdout_mask(training.history.num_users, training.rng)
        weights = trainer.fit_network(
            lambda: SasRecNetwork(training.history.num_items, config),
            lambda: sampler.epoch(~held_out),
            config,
            seed=training.seed,
            name="sasrec",
            validation=list(sampler.epoch(held_out)),
        )
        return cls(weights, config)

    @cached_property
    def network(self) -> SasRecNetwork:
        """The network with these weights."""
        return trainer.load_weights(SasRecNetwork(len(self.weights["bias"]), self.config), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of the items of the next step, [U, I] float32."""
        states, network = self.encode_users(history), self.network

        def logits(rows: slice) -> torch.Tensor:
            return trainer.to_tensor(states[rows]) @ network.item.weight.T + network.bias

        return trainer.predict_in_batches(logits, history.num_users, history.num_items, _BATCH_SIZE)

    def encode_users(self, history: Interactions) -> FloatArray:
        """The state after the last step, [U, D]."""
        history = without_impressions(history)
        steps = Sessions.of(history, self.config.step)

        def states(rows: slice) -> torch.Tensor:
            window = windows(steps.user_offsets[:-1][rows], steps.user_offsets[1:][rows], self.config.max_length)
            length = (window >= 0).sum(1)
            window = window[:, : max(1, int(length.max()))]
            return self.network.states(_read(history, steps, window))[torch.arange(len(window)), length]

        return trainer.predict_in_batches(states, history.num_users, self.config.embedding_size, _BATCH_SIZE)

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        products = factor_products(user_states, self.weights["item.weight"], candidates)
        return mask_padding(products + self.weights["bias"][candidates], candidates)


class _Sampler:
    """Draws a window of steps from each user, targets from its steps, and negatives for each batch."""

    def __init__(self, history: Interactions, config: SasRec.Config, rng: np.random.Generator) -> None:
        self.history, self.config, self.rng = without_impressions(history), config, rng
        self.steps = Sessions.of(self.history, config.step)
        self.items = ItemSampler.by_popularity(self.history, config.popularity_power)

    def epoch(self, users: BoolArray) -> Iterator[SequenceBatch]:
        """Each of these users [U] with a step once, in random order."""
        offsets, config = self.steps.user_offsets, self.config
        active = np.flatnonzero((np.diff(offsets) > 0) & users)
        for batch in trainer.shuffled_batches(len(active), config.batch_size, self.rng):
            first, last = offsets[active[batch]], offsets[active[batch] + 1]
            size = np.minimum(last - first, config.max_length + 1)
            end = first + size + (self.rng.random(len(first)) * (last - first - size + 1)).astype(np.int64)
            yield self._batch(windows(first, end, config.max_length + 1))

    def _batch(self, window: IntArray) -> SequenceBatch:
        """The batch of these windows of steps, [B, L + 1]."""
        config = self.config
        real = window >= 0
        begin = self.steps.event_offsets[window[real]]
        drawn = draw_within(begin, self.steps.event_offsets[window[real] + 1], config.targets, self.rng)
        negatives = self.items.draw(config.negatives, self.rng)
        return SequenceBatch(
            sequences=_read(self.history, self.steps, window[:, :-1]),
            predicted=trainer.to_tensor(real),
            targets=trainer.to_tensor(self.history.item[drawn]),
            negatives=trainer.to_tensor(negatives),
            log_expected=trainer.to_tensor(np.log(self.items.share[negatives] * config.negatives)),
        )


def _read(history: Interactions, steps: Sessions, window: IntArray) -> SessionSequences:
    """The items of the steps in each window [B, L], -1 where padded."""
    real = window >= 0
    first, last = steps.event_offsets[window[real]], steps.event_offsets[window[real] + 1]
    return SessionSequences(
        items=trainer.to_tensor(history.item[ranges(first, last)]),
        offsets=trainer.to_tensor(np.cumsum(last - first) - (last - first)),
        real=trainer.to_tensor(real),
    )
