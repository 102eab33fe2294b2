"""Multi-task network that predicts the funnel steps of a user-item pair within the horizon.

As it comes, a purchase and a purchase with a coupon by MMoE (Ma et al., KDD 2018). A step's probability is the product
of the conditionals up to it, as in ESMM (Ma et al., SIGIR 2018): it never exceeds the step before, and all are learned
on all pairs. The labels come from the training history itself: what users did up to a cut, `horizon_days` before its
end, predicts what they did from then on. Negatives are sampled at a known rate, and the logit is corrected by the
rate's log (King and Zeng, 2001), so that what comes out is a probability.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import ItemSampler, decay_weights, ranges, windows
from tierrec_core.features.user_item import item_features, pair_features, user_features
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.models.multitask.esmm import Composition, UncertaintyWeights, Weighting, probabilities, step_losses
from tierrec_core.models.multitask.experts import Structure, TaskNetwork, TaskNetworkConfig
from tierrec_core.models.multitask.funnel_labels import COUPON, TARGET, check_steps, pairs_taking
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
from tierrec_core.settings import Params, SearchRange
from tierrec_core.tiers import Tiering

_PAIRS_AT_ONCE = 65_536


class PairBatch(NamedTuple):
    """N pairs: dense features [N, F], item and row of the user [N]; B users' items and weights [B, L]."""

    features: torch.Tensor
    item: torch.Tensor
    row: torch.Tensor
    history: torch.Tensor
    weight: torch.Tensor


class MultitaskNetwork(TaskNetwork):
    """A task network that reads dense features, the item's embedding, and the user's taste in the same space.

    Where tasks share nothing, the embedding has a part for each.
    """

    def __init__(self, num_items: int, num_features: int, config: "Multitask.Config") -> None:
        size, tasks = config.embedding_size, len(config.funnel)
        spaces = tasks if config.structure == "single" else 1
        item = nn.Embedding(num_items, size * spaces)
        nn.init.normal_(item.weight, std=0.1)
        super().__init__(num_features + 3 * size, tasks, config.shape)
        self.item, self.size = item, size
        self.noise = UncertaintyWeights(tasks) if config.weighting == "uncertainty" else None
        self.register_buffer("centre", torch.zeros(num_features))
        self.register_buffer("spread", torch.ones(num_features))

    def forward(self, batch: PairBatch) -> torch.Tensor:
        """A logit for each step, [N, T]."""
        return self.judge(batch.features, batch.item, self.taste(batch.history, batch.weight)[batch.row])

    def taste(self, history: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Weighted sum of the embeddings of each user's items: [B, L], [B, L] -> [B, D]."""
        return functional.embedding_bag(history, self.item.weight, per_sample_weights=weight, mode="sum")

    def judge(self, features: torch.Tensor, item: torch.Tensor, user: torch.Tensor) -> torch.Tensor:
        """A logit for each step [N, T] of pairs: their features [N, F], items [N] and users' tastes [N, D]."""
        dense = (features - self.centre) / self.spread
        spaces = zip(self.item(item).split(self.size, dim=1), user.split(self.size, dim=1), strict=True)
        inputs = [torch.cat([dense, theirs, its, theirs * its], dim=-1) for its, theirs in spaces]
        return self.logits(inputs if len(inputs) > 1 else inputs * (self.tasks + 1))


@dataclass(frozen=True)
class LabelledPairs:
    """P pairs to learn from, sorted by user: the steps taken [P, T], and the log rate of sampling their like."""

    user: IntArray
    item: IntArray
    taken: BoolArray
    log_rate: FloatArray


@dataclass(frozen=True)
class Multitask:
    """A fitted network, with the item features and the tiering that scoring needs.

    item_features: see pairs.item_features, as of the training's end, [I, F]
    tiering: tells the tier and the interests of any history
    """

    weights: Weights
    config: "Multitask.Config"
    item_features: FloatArray
    tiering: Tiering

    class Config(Params):
        """Labels are the last horizon_days of the log (at most its newer half).

        funnel: the steps in order: "target" is what counts as success, "coupon" that with a coupon, and every other is
        an event's name; a pair that reached a step counts as having reached those before it. Candidates are scored by
        the last step that is no coupon. structure, experts, own_experts, levels: see experts.TaskNetworkConfig;
        composition: see esmm; weighting: losses simply added, or weighted by uncertainty.
        What came of pairs is compared with own_share of the items that a user met before, and with
        other_negatives items drawn by popularity ** popularity_power. A history is the last max_length
        events, halved every half_life days.
        """

        horizon_days: PositiveFloat = 28.0
        funnel: Annotated[tuple[str, ...], Field(min_length=1)] = (TARGET, COUPON)
        structure: Structure = "mmoe"
        composition: Composition = "entire_space"
        weighting: Weighting = "equal"
        embedding_size: PositiveInt = 16
        experts: PositiveInt = 4
        own_experts: PositiveInt = 1
        levels: PositiveInt = 3
        hidden_size: PositiveInt = 32
        dropout: Annotated[float, Field(ge=0, lt=1), SearchRange(0.0, 0.5)] = 0.1
        epochs: Annotated[PositiveInt, SearchRange(2, 12)] = 4
        learning_rate: Annotated[PositiveFloat, SearchRange(5e-4, 0.02, log=True)] = 0.003
        weight_decay: NonNegativeFloat = 0.01
        users_per_batch: PositiveInt = 16
        own_share: Annotated[float, Field(gt=0, le=1)] = 0.5
        other_negatives: PositiveInt = 64
        popularity_power: Annotated[float, Field(ge=0, le=1)] = 0.5
        max_length: PositiveInt = 64
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        refit: bool = False

        @property
        def shape(self) -> TaskNetworkConfig:
            """The task network's size."""
            return TaskNetworkConfig(
                self.structure, self.hidden_size, self.experts, self.own_experts, self.levels, self.dropout
            )

        @property
        def scored(self) -> int:
            """Place of the step by which candidates are scored."""
            return max(place for place, step in enumerate(self.funnel) if step != COUPON)

        @model_validator(mode="after")
        def _possible(self) -> Self:
            check_steps(self.funnel)
            if self.structure == "single" and self.composition == "entire_space" and len(self.funnel) > 1:
                raise ValueError(
                    "structure single shares nothing, but composition entire_space learns a step by the one before; "
                    "set composition to conditional or independent"
                )
            return self

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Learn the labels after the cut from the history before it."""
        cut = max(training.history.now - config.horizon_days, float(np.median(training.history.day)))
        past = training.history.before(cut)
        pairs = _sample(past, training, config)
        sides = user_features(past, training.tiering), item_features(past)
        dense = _dense(past, pairs.user, pairs.item, *sides, training.tiering)
        with reproducible(training.seed):
            network = MultitaskNetwork(training.history.num_items, dense.shape[1], config)
            network.centre = torch.from_numpy(dense.mean(0))
            network.spread = torch.from_numpy(dense.std(0) + 1e-3)
            network.to(best_device())
            rng = training.rng
            train_network(
                network,
                lambda batch: _loss(network, config.composition, *batch),
                lambda: _batches(past, pairs, dense, config, rng),
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                name="multitask",
            )
        return cls(network_weights(network), config, item_features(training.history), training.tiering)

    @cached_property
    def network(self) -> MultitaskNetwork:
        """The network that the weights belong to."""
        network = MultitaskNetwork(len(self.item_features), len(self.weights["centre"]), self.config)
        return load_weights(network, self.weights)

    def score_candidates(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Probability of the scored step within the horizon, [U, C] -> [U, C] float32; -inf where padded."""
        return self.score_encoded(history, self.encode_users(history), candidates)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Features of the user and their taste, [U, 7 + J + D]."""
        meetings, weight = _recent(history, np.arange(history.num_users), self.config)
        with torch.inference_mode():
            taste = self.network.taste(meetings, weight).cpu().numpy()
        return np.hstack([user_features(history, self.tiering), taste])

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """As score_candidates, for histories that are encoded already."""
        probability = self._judge(history, user_states, candidates)[..., self.config.scored]
        return mask_padding(probability, candidates)

    def probabilities(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Probability of each step within the horizon, [U, C] -> [U, C, T]; 0 where padded."""
        return self._judge(history, self.encode_users(history), candidates)

    def _judge(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        result = np.zeros((*candidates.shape, len(self.config.funnel)), np.float32)
        place = np.flatnonzero(candidates >= 0)
        user, item = place // max(candidates.shape[1], 1), candidates.ravel()[place]
        features, taste = np.split(user_states, [user_states.shape[1] - self.network.item.embedding_dim], axis=1)
        for start in range(0, len(place), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            users, items = user[part], item[part]
            dense = _dense(history, users, items, features, self.item_features, self.tiering)
            with torch.inference_mode():
                logits = self.network.judge(to_tensor(dense), to_tensor(items), to_tensor(taste)[users])
                chances = probabilities(logits, self.config.composition)
            result.reshape(-1, result.shape[-1])[place[part]] = chances.cpu().numpy()
        return result


def _sample(past: Interactions, training: Training, config: Multitask.Config) -> LabelledPairs:
    """All pairs with a step after the cut, and a sample of the pairs without one at known rates."""
    rng, size = training.rng, np.int64(past.num_items)
    came = training.history.where(training.history.day >= past.now)
    steps = pairs_taking(came, config.funnel, training.target)
    positive = steps[0]
    own = np.unique(past.user * size + past.item)
    kept = own[rng.random(len(own)) < config.own_share]
    sampler = ItemSampler.by_popularity(past, config.popularity_power)
    drawn = sampler.draw((past.num_users, config.other_negatives), rng)
    other = (np.arange(past.num_users)[:, None] * size + drawn).ravel()
    other = other[~np.isin(other, own)]
    negative = np.concatenate([kept, other])
    code = np.concatenate([positive, negative[~np.isin(negative, positive)]])
    code.sort()
    user, item = code // size, code % size
    rate = np.where(np.isin(code, own), config.own_share, config.other_negatives * sampler.share[item])
    taken = np.stack([np.isin(code, step) for step in steps], axis=1)
    return LabelledPairs(user, item, taken, np.log(rate))


def _dense(
    history: Interactions, user: IntArray, item: IntArray, users: FloatArray, items: FloatArray, tiering: Tiering
) -> FloatArray:
    """Features of pairs, users and items, and the user's interest in the item's layer, [N, F]."""
    layer = tiering.item_layer[item]
    num_layers = len(tiering.layer_names)
    interest = users[user, users.shape[1] - num_layers + layer]
    one_hot = np.eye(num_layers, dtype=np.float32)[layer]
    pairs = pair_features(history, user, item)
    return np.hstack([pairs, users[user], items[item], interest[:, None], one_hot])


def _read(
    history: Interactions, user: IntArray, item: IntArray, dense: FloatArray, config: Multitask.Config
) -> PairBatch:
    """One batch of pairs; each user's history is read once."""
    present, row = np.unique(user, return_inverse=True)
    return PairBatch(to_tensor(dense), to_tensor(item), to_tensor(row), *_recent(history, present, config))


def _recent(history: Interactions, users: IntArray, config: Multitask.Config) -> tuple[torch.Tensor, torch.Tensor]:
    """The newest items of these users and their weights, [B, L] and [B, L]."""
    window = windows(history.offsets[:-1][users], history.offsets[1:][users], config.max_length)
    weight = decay_weights(history, window, np.full(len(users), history.now), config.half_life)
    met = history.item[window] if len(history) else np.zeros_like(window)
    return to_tensor(met), to_tensor(weight)


def _batches(
    past: Interactions, pairs: LabelledPairs, dense: FloatArray, config: Multitask.Config, rng: np.random.Generator
) -> Iterator[tuple[PairBatch, torch.Tensor, torch.Tensor]]:
    """Batches of whole users with the labels [N, T] and the log rates [N]."""
    offsets = np.searchsorted(pairs.user, np.arange(past.num_users + 1))
    present = np.flatnonzero(np.diff(offsets))
    for batch_users in shuffled_batches(len(present), config.users_per_batch, rng):
        users = present[batch_users]
        at = ranges(offsets[users], offsets[users + 1])
        labels = pairs.taken[at].astype(float)
        batch = _read(past, pairs.user[at], pairs.item[at], dense[at], config)
        yield batch, to_tensor(labels), to_tensor(pairs.log_rate[at])


def _loss(
    network: MultitaskNetwork, composition: Composition, batch: PairBatch, labels: torch.Tensor, log_rate: torch.Tensor
) -> torch.Tensor:
    """The sum of all steps' cross-entropies over the sample, weighted where the network has learned how."""
    losses = torch.stack(step_losses(network(batch), labels, log_rate, composition))
    return losses.sum() if network.noise is None else network.noise(losses)
