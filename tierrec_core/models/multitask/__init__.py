"""Multi-task network that predicts the funnel steps of a user-item pair within the horizon.

By default these are a purchase and a purchase with a coupon, by MMoE (Ma et al., KDD 2018). A step's probability is the
product of the conditionals up to it, as in ESMM (Ma et al., SIGIR 2018): it never exceeds that of the step before, and
all are learned on all pairs. The labels come from the training history: events up to `horizon_days` before its end
predict the later ones. Negatives are sampled at a known rate, and the logit is corrected by the rate's
log (King and Zeng, 2001), so that the outputs are probabilities.
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

from tierrec_core.base.contracts import EVENT_CODES, BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions, ranges
from tierrec_core.features.sequences import HistoryConfig, ItemSampler, current_items
from tierrec_core.features.user_item import item_features, pair_features, user_features
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.models.multitask import esmm
from tierrec_core.models.multitask.mixture_of_experts import TaskNetwork, TaskNetworkConfig
from tierrec_core.neural import trainer
from tierrec_core.protocols.model import Training
from tierrec_core.settings import RenamedFrom, SearchRange, Share
from tierrec_core.tiers import Tiering

_PAIRS_AT_ONCE = 65_536


class PairBatch(NamedTuple):
    """N pairs of B users.

    features: dense, [N, F]; item, row: the item, and the row of the user, [N]
    labels: steps reached, [N, T]; log_rate: log of the sampling rate, [N]
    history, weight: each user's items and their weights, [B, L]
    """

    features: torch.Tensor
    item: torch.Tensor
    row: torch.Tensor
    labels: torch.Tensor
    log_rate: torch.Tensor
    history: torch.Tensor
    weight: torch.Tensor


class MultitaskNetwork(TaskNetwork):
    """A task network on dense features, the item's embedding, and the sum of the history's embeddings (taste).

    With structure single, the embedding has a part for each task.
    """

    def __init__(self, num_items: int, num_features: int, config: "Multitask.Config") -> None:
        size, tasks = config.embedding_size, len(config.funnel)
        item = nn.Embedding(num_items, size * (tasks if config.structure == "single" else 1))
        nn.init.normal_(item.weight, std=0.1)
        super().__init__(num_features + 3 * size, tasks, config)
        self.item, self.size, self.composition = item, size, config.composition
        self.noise = esmm.UncertaintyWeights(tasks) if config.weighting == "uncertainty" else None
        self.register_buffer("centre", torch.zeros(num_features))
        self.register_buffer("spread", torch.ones(num_features))

    def standardized(self, dense: FloatArray) -> Self:
        """Set the mean and spread that standardize the dense features, from [N, F]."""
        self.centre, self.spread = torch.from_numpy(dense.mean(0)), torch.from_numpy(dense.std(0) + 1e-3)
        return self

    def taste(self, history: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Weighted sum of the embeddings of each user's items: [B, L], [B, L] -> [B, D]."""
        return functional.embedding_bag(history, self.item.weight, per_sample_weights=weight, mode="sum")

    def forward(self, features: torch.Tensor, item: torch.Tensor, user: torch.Tensor) -> torch.Tensor:
        """A logit for each step [N, T] of pairs: their features [N, F], items [N] and users' tastes [N, D]."""
        dense = (features - self.centre) / self.spread
        parts = zip(self.item(item).split(self.size, dim=1), user.split(self.size, dim=1), strict=True)
        inputs = [torch.cat([dense, users, items, users * items], dim=-1) for items, users in parts]
        return self.logits(inputs if len(inputs) > 1 else inputs * (self.tasks + 1))

    def loss(self, batch: PairBatch) -> torch.Tensor:
        """Sum of all steps' cross-entropies over the sample, with learned weights if so configured."""
        logits = self(batch.features, batch.item, self.taste(batch.history, batch.weight)[batch.row])
        losses = torch.stack(esmm.step_losses(logits, batch.labels, batch.log_rate, self.composition))
        return losses.sum() if self.noise is None else self.noise(losses)


@dataclass(frozen=True)
class LabelledPairs:
    """P training pairs sorted by user: the steps reached [P, T], and the log of the sampling rate [P]."""

    user: IntArray
    item: IntArray
    taken: BoolArray
    log_rate: FloatArray


@dataclass(frozen=True)
class Multitask:
    """A fitted network, with the item features and the tiering that scoring needs.

    item_features: see user_item.item_features, as of the end of training, [I, F]
    tiering: assigns tier and interests to any history
    """

    weights: trainer.Weights
    config: "Multitask.Config"
    item_features: FloatArray
    tiering: Tiering

    class Config(trainer.TrainerConfig, TaskNetworkConfig, HistoryConfig):
        """Labels are the last horizon_days of the log, but at most its newer half.

        funnel: the steps in order: "target" is a target event, "coupon" one with a coupon, and every other step is
        an event's name; a pair that reached a step counts as having reached those before it. Candidates are scored by
        the last step that is not a coupon.
        composition: see esmm; weighting: losses are summed, or weighted by uncertainty
        negative_fraction: sampling rate of the pairs with earlier events but no step; other_negatives: number of
        items drawn for each user by popularity ** popularity_power
        """

        horizon_days: PositiveFloat = 28.0
        funnel: Annotated[tuple[str, ...], Field(min_length=1)] = (esmm.TARGET, esmm.COUPON)
        composition: esmm.Composition = "entire_space"
        weighting: esmm.Weighting = "equal"
        embedding_size: PositiveInt = 16
        dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.5)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 4
        learning_rate: Annotated[PositiveFloat, SearchRange(5e-4, 0.02, log=True)] = 0.003
        users_per_batch: PositiveInt = 16
        negative_fraction: Annotated[float, Field(gt=0, le=1), RenamedFrom("own_share")] = 0.5
        other_negatives: PositiveInt = 64
        popularity_power: Share = 0.5
        max_length: PositiveInt = 64

        @model_validator(mode="after")
        def _check(self) -> Self:
            steps, known = self.funnel, (esmm.TARGET, esmm.COUPON, *EVENT_CODES)
            if unknown := [step for step in steps if step not in known]:
                raise ValueError(f"funnel: step {unknown[0]!r} is unknown; known are {', '.join(known)}")
            if len(set(steps)) < len(steps) or steps[0] == esmm.COUPON:
                raise ValueError("funnel: wanted each step once, and a coupon after its step")
            if self.structure == "single" and self.composition == "entire_space" and len(self.funnel) > 1:
                raise ValueError(
                    "structure single shares no weights, composition entire_space learns a step by the previous one; "
                    "set composition to conditional or independent"
                )
            return self

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Learn the steps reached in the horizon from the history before it."""
        start = max(training.history.now - config.horizon_days, float(np.median(training.history.day)))
        past = training.history.before(start)
        pairs = _sample(past, training, config)
        features = user_features(past, training.tiering), item_features(past)
        dense = _dense(past, pairs.user, pairs.item, *features, training.tiering)
        rng = training.rng
        weights = trainer.fit_network(
            lambda: MultitaskNetwork(past.num_items, dense.shape[1], config).standardized(dense),
            lambda: _batches(past, pairs, dense, config, rng),
            config,
            seed=training.seed,
            name="multitask",
        )
        return cls(weights, config, item_features(training.history), training.tiering)

    @cached_property
    def network(self) -> MultitaskNetwork:
        """The network with these weights."""
        network = MultitaskNetwork(len(self.item_features), len(self.weights["centre"]), self.config)
        return trainer.load_weights(network, self.weights)

    def score_candidates(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Probability of the scored step within the horizon, [U, C] -> [U, C] float32; -inf where padded."""
        return self.score_encoded(history, self.encode_users(history), candidates)

    def encode_users(self, history: Interactions) -> FloatArray:
        """User features and the weighted sum of the embeddings of the user's items, [U, 7 + J + D]."""
        items, weight = current_items(history, np.arange(history.num_users), self.config)
        with torch.inference_mode():
            taste = self.network.taste(trainer.to_tensor(items), trainer.to_tensor(weight)).cpu().numpy()
        return np.hstack([user_features(history, self.tiering), taste])

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """As score_candidates, given the user states."""
        scored = max(position for position, step in enumerate(self.config.funnel) if step != esmm.COUPON)
        return mask_padding(self._probabilities(history, user_states, candidates)[..., scored], candidates)

    def probabilities(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Probability of each step within the horizon, [U, C] -> [U, C, T]; 0 where padded."""
        return self._probabilities(history, self.encode_users(history), candidates)

    def _probabilities(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        result = np.zeros((*candidates.shape, len(self.config.funnel)), np.float32)
        pair = np.flatnonzero(candidates >= 0)
        user, item = pair // max(candidates.shape[1], 1), candidates.ravel()[pair]
        features, taste = np.split(user_states, [user_states.shape[1] - self.network.item.embedding_dim], axis=1)
        for start in range(0, len(pair), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            users, items = user[part], item[part]
            dense = _dense(history, users, items, features, self.item_features, self.tiering)
            with torch.inference_mode():
                logits = self.network(
                    trainer.to_tensor(dense), trainer.to_tensor(items), trainer.to_tensor(taste)[users]
                )
                values = esmm.probabilities(logits, self.config.composition)
            result.reshape(-1, result.shape[-1])[pair[part]] = values.cpu().numpy()
        return result


def _sample(past: Interactions, training: Training, config: Multitask.Config) -> LabelledPairs:
    """All pairs with a step in the horizon, and a sample of the pairs without one at known rates."""
    rng, size = training.rng, np.int64(past.num_items)
    future = training.history.where(training.history.day >= past.now)
    steps = esmm.pairs_by_step(future, config.funnel, training.target)
    positive = steps[0]
    seen = np.unique(past.user * size + past.item)
    seen_negative = seen[rng.random(len(seen)) < config.negative_fraction]
    sampler = ItemSampler.by_popularity(past, config.popularity_power)
    drawn = sampler.draw((past.num_users, config.other_negatives), rng)
    unseen = (np.arange(past.num_users)[:, None] * size + drawn).ravel()
    negative = np.concatenate([seen_negative, unseen[~np.isin(unseen, seen)]])
    code = np.concatenate([positive, negative[~np.isin(negative, positive)]])
    code.sort()
    user, item = code // size, code % size
    rate = np.where(np.isin(code, seen), config.negative_fraction, config.other_negatives * sampler.share[item])
    taken = np.stack([np.isin(code, step) for step in steps], axis=1)
    return LabelledPairs(user, item, taken, np.log(rate))


def _dense(
    history: Interactions, user: IntArray, item: IntArray, users: FloatArray, items: FloatArray, tiering: Tiering
) -> FloatArray:
    """Features of pairs, users and items, and the user's interest in the item's layer, [N, F]."""
    layer = tiering.item_layer[item]
    num_layers = len(tiering.layers.names)
    interest = users[user, users.shape[1] - num_layers + layer]
    one_hot = np.eye(num_layers, dtype=np.float32)[layer]
    pairs = pair_features(history, user, item)
    return np.hstack([pairs, users[user], items[item], interest[:, None], one_hot])


def _batches(
    past: Interactions, pairs: LabelledPairs, dense: FloatArray, config: Multitask.Config, rng: np.random.Generator
) -> Iterator[PairBatch]:
    """Batches of all pairs of some users."""
    offsets = np.searchsorted(pairs.user, np.arange(past.num_users + 1))
    active = np.flatnonzero(np.diff(offsets))
    for batch in trainer.shuffled_batches(len(active), config.users_per_batch, rng):
        users = active[batch]
        rows = ranges(offsets[users], offsets[users + 1])
        users, row = np.unique(pairs.user[rows], return_inverse=True)
        pair = dense[rows], pairs.item[rows], row, pairs.taken[rows].astype(float), pairs.log_rate[rows]
        yield PairBatch(*map(trainer.to_tensor, (*pair, *current_items(past, users, config))))
