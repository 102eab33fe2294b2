"""Funnel ranker: what a user looked at or put aside, in the order in which it is likely to be bought after all.

Trees learn the order (LambdaMART, Burges 2010; LightGBM, Ke 2017) from the users' own purchases, hidden one fold at a
time and foretold from the rest (stacking, Wolpert 1992), so that a log without times is enough. What the user has no
trace of comes behind, by likeness to all that the user did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import lightgbm
import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.special import expit

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.funnel_ranker.funnel import TAKEN, Behaviours, Funnel
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class FunnelRanker:
    """funnel: facts of all behaviours; columns: names of the features, [F]; trees: LightGBM's text, or empty"""

    funnel: Funnel
    columns: tuple[str, ...]
    trees: str
    target: tuple[str, ...]
    config: "FunnelRanker.Config"

    class Config(Params):
        """steps lead to a target event, the nearest last; neighbours bounds the memory of each likeness.

        Each of the folds hides one purchase of each user who has two. negative_share: how many of the candidates that
        were not bought are learned from; truncation: how deep into a list the objective looks. Without trees the order
        is that of the share of buyers among those who came that far.
        """

        steps: tuple[str, ...] = ("view", "cart")
        neighbours: Annotated[PositiveInt, SearchRange(50, 1000, log=True)] = 300
        folds: PositiveInt = 3
        negative_share: Annotated[float, Field(gt=0, le=1)] = 0.5
        num_trees: Annotated[NonNegativeInt, SearchRange(50, 400, log=True)] = 200
        learning_rate: Annotated[PositiveFloat, SearchRange(0.02, 0.2, log=True)] = 0.06
        num_leaves: Annotated[int, Field(ge=2), SearchRange(7, 63, log=True)] = 15
        min_data_in_leaf: PositiveInt = 100
        feature_share: Annotated[float, Field(gt=0, le=1)] = 0.4
        l2: Annotated[float, Field(ge=0)] = 5.0
        truncation: PositiveInt = 15
        max_bin: Annotated[int, Field(ge=2, le=255)] = 63

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Measure the whole log, and learn the order where purchases can be hidden and were on the way before."""
        seen = Behaviours.read(training.history, config.steps, training.target)
        funnel = Funnel.measure(seen, config.neighbours)
        parts = list(_examples(seen, funnel, config, training.rng)) if config.num_trees else []
        if not parts:
            return cls(funnel, (), "", training.target, config)
        columns = tuple(parts[0].table)
        data = lightgbm.Dataset(
            np.concatenate([stacked(part.table, columns) for part in parts]),
            label=np.concatenate([part.label for part in parts]),
            group=np.concatenate([np.unique(part.user, return_counts=True)[1] for part in parts]),
            params={"max_bin": config.max_bin, "verbose": -1},
        )
        booster = lightgbm.train(_parameters(config, training.seed), data, config.num_trees)
        return cls(funnel, columns, booster.model_to_string(), training.target, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """1 to 2 for what is half way, 0 to 1 for the rest, [U, I]."""
        seen = Behaviours.read(history, self.config.steps, self.target)
        scores = self.funnel.base(seen)
        user, item = seen.half_way()
        if self._booster is None or not len(user):
            scores[user, item] = 1.0 + self.funnel.rate[0, item].clip(0.0, 0.99)
            return scores
        table = stacked(self.funnel.table(seen, user, item), self.columns)
        scores[user, item] = 1.0 + expit(self._booster.predict(table, num_threads=2))
        return scores

    @cached_property
    def _booster(self) -> lightgbm.Booster | None:
        return lightgbm.Booster(model_str=self.trees) if self.trees else None


@dataclass(frozen=True)
class _Part:
    """One fold's candidates: features [P] by name, row of each user [P], and whether it was hidden [P]."""

    table: dict[str, FloatArray]
    user: IntArray
    label: BoolArray


def _examples(
    seen: Behaviours, funnel: Funnel, config: FunnelRanker.Config, rng: np.random.Generator
) -> Iterator[_Part]:
    """Each fold's half-way pairs of users whose hidden purchase is among them."""
    taken = seen.of[TAKEN].tocoo()
    size, fold = np.int64(taken.shape[1]), _folds(taken.row, rng)
    several = np.bincount(taken.row, minlength=taken.shape[0])[taken.row] > 1
    for number in range(config.folds):
        hidden = (fold == number) & several
        rest = seen.without(taken.row[hidden], taken.col[hidden])
        user, item = rest.half_way()
        label = np.isin(user * size + item, taken.row[hidden] * size + taken.col[hidden])
        kept = np.isin(user, user[label]) & (label | (rng.random(len(user)) < config.negative_share))
        if label.any():
            facts = Funnel.measure(rest, config.neighbours, funnel.among_steps())
            table = facts.table(rest, user, item)
            yield _Part({name: one[kept] for name, one in table.items()}, user[kept], label[kept])


def _folds(user: IntArray, rng: np.random.Generator) -> IntArray:
    """A number for each purchase [N], so that no two of a user have the same."""
    order = np.lexsort((rng.random(len(user)), user))
    number = np.empty(len(user), np.int64)
    ordered = user[order]
    number[order] = np.arange(len(user)) - np.searchsorted(ordered, ordered)
    return number


def stacked(table: dict[str, FloatArray], columns: tuple[str, ...]) -> FloatArray:
    """The table as one array, [P, F]."""
    return np.stack([table[name] for name in columns], axis=1)


def _parameters(config: FunnelRanker.Config, seed: int) -> dict[str, object]:
    """LightGBM's parameters, fixed so that the same log gives the same trees."""
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "feature_fraction": config.feature_share,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": config.l2,
        "max_bin": config.max_bin,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbose": -1,
    }
