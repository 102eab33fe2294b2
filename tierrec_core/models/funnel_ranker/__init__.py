"""Funnel ranker: ranks items the user viewed or put into the cart by how likely they are still bought.

Trees learn the order (LambdaMART, Burges 2010; LightGBM, Ke 2017) from the users' own purchases: one fold at a time is
hidden and predicted from the rest (stacking, Wolpert 1992), so a log without timestamps suffices. Items the user had no
contact with are ranked below, by similarity to all the user's events.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import lightgbm
import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.special import expit

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.gradient_boosting import RankingExamples, boosting_parameters, ranking_data, stack_columns
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.funnel_ranker.funnel import TARGET, Behaviours, FunnelStats
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class FunnelRanker:
    """Funnel statistics, names of the features [F], and LightGBM's text, empty without trees."""

    funnel: FunnelStats
    columns: tuple[str, ...]
    trees: str
    target: tuple[str, ...]
    config: "FunnelRanker.Config"

    class Config(Params):
        """steps lead to a target event, the closest last; neighbours limits the memory of each similarity.

        Each of the folds hides one purchase of each user with at least two. negative_share: fraction of the candidates
        without a purchase kept for training; truncation: list depth of the objective. With num_trees 0 the order is
        that of the smoothed purchase rate.
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
        """Compute the statistics of the whole log; learn to rank if any hidden purchase has a funnel step."""
        behaviours = Behaviours.read(training.history, config.steps, training.target)
        funnel = FunnelStats.fit(behaviours, config.neighbours)
        parts = list(_examples(behaviours, funnel, config, training.rng)) if config.num_trees else []
        if not parts:
            return cls(funnel, (), "", training.target, config)
        columns = tuple(parts[0].table)
        parameters = boosting_parameters(
            config, training.seed, objective="lambdarank", row_share=0.8, num_threads=2
        ) | {"lambdarank_truncation_level": config.truncation}
        booster = lightgbm.train(parameters, ranking_data(parts, columns, config.max_bin), config.num_trees)
        return cls(funnel, columns, booster.model_to_string(), training.target, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Scores of 1 to 2 for items in the funnel, 0 to 1 for the rest, [U, I]."""
        behaviours = Behaviours.read(history, self.config.steps, self.target)
        scores = self.funnel.similarity_scores(behaviours)
        user, item = behaviours.open_pairs()
        if self._booster is None or not len(user):
            scores[user, item] = 1.0 + self.funnel.rate[0, item].clip(0.0, 0.99)
            return scores
        values = stack_columns(self.funnel.table(behaviours, user, item), self.columns)
        scores[user, item] = 1.0 + expit(self._booster.predict(values, num_threads=2))
        return scores

    @cached_property
    def _booster(self) -> lightgbm.Booster | None:
        return lightgbm.Booster(model_str=self.trees) if self.trees else None


def _examples(
    behaviours: Behaviours, funnel: FunnelStats, config: FunnelRanker.Config, rng: np.random.Generator
) -> Iterator[RankingExamples]:
    """Each fold's open pairs of users whose hidden purchase is among them, labelled with whether it was hidden."""
    purchases = behaviours.matrices[TARGET].tocoo()
    size, fold = np.int64(purchases.shape[1]), _assign_folds(purchases.row, rng)
    has_several = np.bincount(purchases.row, minlength=purchases.shape[0])[purchases.row] > 1
    for number in range(config.folds):
        hidden = (fold == number) & has_several
        visible = behaviours.without_targets(purchases.row[hidden], purchases.col[hidden])
        user, item = visible.open_pairs()
        label = np.isin(user * size + item, purchases.row[hidden] * size + purchases.col[hidden])
        keep = np.isin(user, user[label]) & (label | (rng.random(len(user)) < config.negative_share))
        if label.any():
            stats = FunnelStats.fit(visible, config.neighbours, funnel.step_similarities())
            table = stats.table(visible, user, item)
            yield RankingExamples({name: column[keep] for name, column in table.items()}, user[keep], label[keep])


def _assign_folds(user: IntArray, rng: np.random.Generator) -> IntArray:
    """A random fold for each purchase [N], different for all purchases of one user."""
    order = np.lexsort((rng.random(len(user)), user))
    fold = np.empty(len(user), np.int64)
    sorted_user = user[order]
    fold[order] = np.arange(len(user)) - np.searchsorted(sorted_user, sorted_user)
    return fold
