"""SASRec: self-attention over the user's history (Kang and McAuley, ICDM 2018), one position per session.

The items of one basket have no order, so a position is a whole session (the mean of its items) and is asked
for the items of the next session; where each session holds one item, or with `step: event`, it is the paper's
model. The loss is a sampled softmax with the logQ correction (Bengio and Senecal, 2008; Yi et al., RecSys
2019).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import ItemSampler, Sessions, StepKind, chosen, draw_within, ranges, windows
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

_USERS_AT_ONCE = 256


class SessionSequences(NamedTuple):
    """B users' steps as one bag of items a step.

    items: the items of all S steps in a row, [E]
    offsets: where each step's items begin, [S]
    real: which places hold a step, S of them, left-aligned, [B, L]
    """

    items: torch.Tensor
    offsets: torch.Tensor
    real: torch.Tensor


class AttentionBlock(nn.Module):  # type: ignore[misc]
    """Causal self-attention and a point-wise feed-forward layer, each behind a layer norm and a shortcut."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.feed_forward = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, size))
        self._begin_as_a_mean(size)

    def _begin_as_a_mean(self, size: int) -> None:
        """Values pass unchanged, places weigh almost alike: training starts from the mean of the history."""
        with torch.no_grad():
            self.query_key_value.weight[: 2 * size] *= 0.1
            nn.init.eye_(self.query_key_value.weight[2 * size :])
            nn.init.eye_(self.mix.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, L, D] -> [B, L, D]; place l sees places 0..l, and so never the padding after it."""
        parts = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        x = x + functional.dropout(self.mix(seen.transpose(1, 2).flatten(2)), self.dropout, self.training)
        return x + functional.dropout(self.feed_forward(self.forward_norm(x)), self.dropout, self.training)


class SasRecNetwork(nn.Module):  # type: ignore[misc]
    """Item and position embeddings, blocks, and one state a place; an item scores state . item + bias."""

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


def sampled_softmax(
    positive: torch.Tensor, negative: torch.Tensor, same: torch.Tensor, log_expected: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of each positive [T] against N shared negatives [S, N], T a multiple of S.

    log_expected [N]: log of how often a negative is expected among the N draws; subtracting it makes the
    sample agree with the softmax over the catalogue. same [T, N] marks the draws that are the positive
    itself.
    """
    corrected = (negative - log_expected).repeat_interleave(len(positive) // len(negative), dim=0)
    rest = corrected.masked_fill(same, -torch.inf).logsumexp(-1)
    return (torch.logaddexp(positive, rest) - positive).mean()


class SequenceBatch(NamedTuple):
    """B users' sessions, their prediction targets, and the negatives.

    sequences: the steps without the last, L places
    predicted: which of the L + 1 states have a next session to predict, S of them, [B, L + 1]
    targets: T items drawn from each of those steps, [S, T]
    negatives: items that all are compared with, [N]
    log_expected: log of how often each is expected among the negatives, [N]
    """

    sequences: SessionSequences
    predicted: torch.Tensor
    targets: torch.Tensor
    negatives: torch.Tensor
    log_expected: torch.Tensor


@dataclass(frozen=True)
class SasRec:
    """A fitted network: its weights by name, and the configuration that gives their shapes."""

    weights: Weights
    config: "SasRec.Config"

    class Config(Params):
        """The history is the last max_length steps; an epoch sees one random window of that length a user.

        `targets` items are drawn from each step, and `negatives` items, one set a batch, from the catalogue
        by popularity ** popularity_power. embedding_size must be a multiple of heads. With a patience above 0,
        validation_share of the users teach nothing but tell when to stop: so many epochs after the best.
        """

        step: StepKind = "session"
        max_length: Annotated[PositiveInt, SearchRange(10, 120, log=True)] = 40
        embedding_size: PositiveInt = 64
        blocks: PositiveInt = 1
        heads: PositiveInt = 2
        dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.5)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(3, 20)] = 7
        patience: NonNegativeInt = 0
        validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
        learning_rate: Annotated[PositiveFloat, SearchRange(5e-4, 0.02, log=True)] = 0.004
        weight_decay: NonNegativeFloat = 0.01
        batch_size: PositiveInt = 16
        targets: PositiveInt = 3
        negatives: PositiveInt = 512
        popularity_power: Annotated[float, Field(ge=0, le=1)] = 0.5
        refit: bool = False

        @model_validator(mode="after")
        def _heads_divide_the_embedding(self) -> Self:
            if self.embedding_size % self.heads:
                raise ValueError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")
            return self

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Predict each step's items from the steps before it."""
        with reproducible(training.seed):
            network = SasRecNetwork(training.history.num_items, config).to(best_device())

            def loss(batch: SequenceBatch) -> torch.Tensor:
                states = network.states(batch.sequences)[batch.predicted]
                targets = batch.targets
                positive = (states.unsqueeze(1) * network.item(targets)).sum(-1) + network.bias[targets]
                negative = states @ network.item(batch.negatives).T + network.bias[batch.negatives]
                same = targets.flatten().unsqueeze(1) == batch.negatives
                return sampled_softmax(positive.flatten(), negative, same, batch.log_expected)

            sampler = _Sampler(training.history, config, training.rng)
            kept = holdout_mask(training.history.num_users, config.validation_share, config.patience, training.rng)
            train_network(
                network,
                loss,
                lambda: sampler.epoch(~kept),
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                name="sasrec",
                early_stopping=EarlyStopping(list(sampler.epoch(kept)), config.patience) if kept.any() else None,
            )
        return cls(network_weights(network), config)

    @cached_property
    def network(self) -> SasRecNetwork:
        """The network that the weights belong to."""
        return load_weights(SasRecNetwork(len(self.weights["bias"]), self.config), self.weights)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of the items of the next step, [U, I] float32."""
        scores = np.empty((history.num_users, history.num_items), np.float32)
        for rows, last in self._states(history):
            with torch.inference_mode():
                scores[rows] = (last @ self.network.item.weight.T + self.network.bias).cpu().numpy()
        return scores

    def encode_users(self, history: Interactions) -> FloatArray:
        """The state after the last step, [U, D]."""
        states = np.empty((history.num_users, self.config.embedding_size), np.float32)
        for rows, last in self._states(history):
            states[rows] = last.cpu().numpy()
        return states

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Logits of the candidates, [U, C]."""
        products = factor_products(user_states, self.weights["item.weight"], candidates)
        return mask_padding(products + self.weights["bias"][candidates], candidates)

    def _states(self, history: Interactions) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows and states after the last step [B, D] of some users at a time."""
        history = chosen(history)
        steps = Sessions.of(history, self.config.step)
        for start in range(0, history.num_users, _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            window = windows(steps.user_offsets[:-1][rows], steps.user_offsets[1:][rows], self.config.max_length)
            window = window[:, : max(1, int((window >= 0).sum(1).max()))]
            with torch.inference_mode():
                states = self.network.states(_read(history, steps, window))
                last = states[torch.arange(len(window)), torch.from_numpy((window >= 0).sum(1))]
            yield rows, last


class _Sampler:
    """Draws a window of steps from each user, targets from its steps, and negatives for each batch."""

    def __init__(self, history: Interactions, config: SasRec.Config, rng: np.random.Generator) -> None:
        self.history, self.config, self.rng = chosen(history), config, rng
        self.steps = Sessions.of(self.history, config.step)
        self.items = ItemSampler.by_popularity(self.history, config.popularity_power)

    def epoch(self, users: BoolArray) -> Iterator[SequenceBatch]:
        """Each of these users [U] who has a step once, in a random order."""
        offsets, config = self.steps.user_offsets, self.config
        active = np.flatnonzero((np.diff(offsets) > 0) & users)
        for batch in shuffled_batches(len(active), config.batch_size, self.rng):
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
            predicted=to_tensor(real),
            targets=to_tensor(self.history.item[drawn]),
            negatives=to_tensor(negatives),
            log_expected=to_tensor(np.log(self.items.share[negatives] * config.negatives)),
        )


def _read(history: Interactions, steps: Sessions, window: IntArray) -> SessionSequences:
    """The items of the steps in each window [B, L], -1 where padded."""
    real = window >= 0
    first, last = steps.event_offsets[window[real]], steps.event_offsets[window[real] + 1]
    return SessionSequences(
        items=to_tensor(history.item[ranges(first, last)]),
        offsets=to_tensor(np.cumsum(last - first) - (last - first)),
        real=to_tensor(real),
    )
