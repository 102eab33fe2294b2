"""Models to compare on the pairs: task networks of each structure, and LightGBM trees on the same features."""

from dataclasses import dataclass

import lightgbm
import numpy as np
import torch
from torch import nn

from benchmarks.families.multitask.pairs import NUM_CATEGORIES, Table
from tierrec_core.base.contracts import BoolArray, FloatArray
from tierrec_core.models.multitask.esmm import Composition, UncertaintyWeights, Weighting, probabilities, step_losses
from tierrec_core.models.multitask.mixture_of_experts import TaskNetwork, TaskNetworkConfig
from tierrec_core.neural.trainer import reproducible, shuffled_batches

TASKS = 2
_EMBEDDING = 8
_EPOCHS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 3, 2048, 0.005, 0.01
_FARTHEST = 8.0
_SIZES = {"purchase": (31, 150), "coupon": (15, 150), "given": (15, 150)}  # leaves of a tree, and trees
_AT_ONCE = 65_536

Columns = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Design:
    """A network to be compared."""

    shape: TaskNetworkConfig
    composition: Composition = "entire_space"
    weighting: Weighting = "equal"


class PairNetwork(TaskNetwork):
    """A task network over a pair's features and its category's embedding, which has a part for each task alone."""

    def __init__(self, num_features: int, design: Design) -> None:
        super().__init__(num_features + _EMBEDDING, TASKS, design.shape)
        spaces = TASKS if design.shape.structure == "single" else 1
        self.category = nn.Embedding(NUM_CATEGORIES, _EMBEDDING * spaces)
        nn.init.normal_(self.category.weight, std=0.1)
        self.noise = UncertaintyWeights(TASKS) if design.weighting == "uncertainty" else None

    def forward(self, features: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        """[N, F], [N] -> [N, 2]"""
        parts = self.category(category).split(_EMBEDDING, dim=1)
        inputs = [torch.cat([features, part], dim=1) for part in parts]
        return self.logits(inputs if len(inputs) > 1 else inputs * (TASKS + 1))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each feature in the training pairs, [F]."""

    mean: FloatArray
    deviation: FloatArray

    def __call__(self, features: FloatArray) -> torch.Tensor:
        """Standardize, clipped to 8 deviations."""
        return torch.from_numpy(((features - self.mean) / self.deviation).clip(-_FARTHEST, _FARTHEST))


def predict_network(train: Table, test: Table, design: Design, seed: int) -> FloatArray:
    """Train a network and predict both tasks' probabilities of the test pairs, [N, 2]."""
    scale = Scale(train.features.mean(axis=0), train.features.std(axis=0) + 1e-3)
    labels, log_rate = (torch.from_numpy(one) for one in _labels(train))
    columns = scale(train.features), torch.from_numpy(train.category), labels, log_rate
    with reproducible(seed):
        network = PairNetwork(train.features.shape[1], design)
        _train(network, columns, design.composition, np.random.default_rng(seed))
        return _predicted(network, scale(test.features), torch.from_numpy(test.category), design.composition)


def _train(network: PairNetwork, columns: Columns, composition: Composition, rng: np.random.Generator) -> None:
    """Train with one cycle of the learning rate over all steps (Smith and Topin, 2019)."""
    size = len(columns[0])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=_EPOCHS * -(-size // _BATCH), pct_start=0.1
    )
    for chosen in (part for _ in range(_EPOCHS) for part in shuffled_batches(size, _BATCH, rng)):
        features, category, labels, log_rate = (column[chosen] for column in columns)
        losses = torch.stack(step_losses(network(features, category), labels, log_rate, composition))
        value = losses.sum() if network.noise is None else network.noise(losses)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()
    network.eval()


def _labels(train: Table) -> tuple[FloatArray, FloatArray]:
    """Labels of both tasks [N, 2], and the log sampling rate [N]."""
    return np.stack([train.bought, train.coupon], axis=1).astype(np.float32), train.log_rate


def _predicted(
    network: PairNetwork, features: torch.Tensor, category: torch.Tensor, composition: Composition
) -> FloatArray:
    with torch.inference_mode():
        pieces = zip(features.split(_AT_ONCE), category.split(_AT_ONCE), strict=True)
        found = torch.cat([probabilities(network(*piece), composition) for piece in pieces])
    return np.asarray(found.numpy(), float)


@dataclass(frozen=True)
class Trees:
    """Probabilities of the test pairs by boosted trees (Ke et al., NeurIPS 2017).

    purchase, coupon: trained on all pairs, [N]; given: of a coupon, trained on bought pairs, [N]
    """

    purchase: FloatArray
    coupon: FloatArray
    given: FloatArray

    @property
    def decomposed(self) -> FloatArray:
        """P(purchase) * P(coupon | purchase), [N]."""
        return self.purchase * self.given


def predict_trees(train: Table, test: Table, seed: int) -> Trees:
    """Train the three models; weights correct for the sampling rate."""
    weight = np.where(train.bought, 1.0, np.exp(-train.log_rate))
    every, bought = np.ones(len(weight), bool), train.bought
    return Trees(
        _boosted(train, test, train.bought, weight, every, "purchase", seed),
        _boosted(train, test, train.coupon, weight, every, "coupon", seed),
        _boosted(train, test, train.coupon, weight, bought, "given", seed),
    )


def _boosted(
    train: Table, test: Table, label: BoolArray, weight: FloatArray, kept: BoolArray, what: str, seed: int
) -> FloatArray:
    leaves, trees = _SIZES[what]
    parameters = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": leaves,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    data = lightgbm.Dataset(train.features[kept], label[kept], weight=weight[kept])
    booster = lightgbm.train(parameters, data, trees)
    return np.asarray(booster.predict(test.features, num_threads=1))


def average_logits(chances: list[FloatArray]) -> FloatArray:
    """Average probabilities in logits, [N]."""
    safe = np.clip(np.stack(chances), 1e-9, 1 - 1e-9)
    return np.asarray(1 / (1 + np.exp(-np.log(safe / (1 - safe)).mean(axis=0))))
