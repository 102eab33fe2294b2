"""The learned ranker over model scores, behaviour and context (LambdaMART, Burges 2010; LightGBM, Ke 2017).

It learns from earlier windows: what the models, fitted before a window, said of the candidates, and what the
users then did. It is stacking (Wolpert 1992) whose weights depend on the user, since tier, history and
recency are features. Short histories have trees of their own, which learned from newcomers too: what these teach of
strangers would cost those who are known well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import lightgbm
import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.user_item_history import UserItemFeatures
from tierrec_core.protocols.model import Training
from tierrec_core.ranking.candidates import Candidates
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.tiers import Tiering

FEW_ITEMS = 8
_NUM_ITEMS = "user_items"


@dataclass(frozen=True)
class RankingContext:
    """What is known as of a snapshot, whoever asks: facts about items, and the tiers."""

    features: UserItemFeatures
    tiering: Tiering

    @classmethod
    def fit(cls, training: Training, attributes: Sequence[str]) -> Self:
        """Measure the items and take over the tiering."""
        features = UserItemFeatures.fit(training.history, training.items, attributes, training.target)
        return cls(features, training.tiering)

    def table(
        self, history: Interactions, candidates: Candidates, asked: BoolArray | None = None
    ) -> dict[str, FloatArray]:
        """Every feature by name: scores, ranks, behaviour, tier and interest, [P] or, of those asked, [A] each.

        asked: which pairs to look at, all without it, [P]; the others still count for the ranks of these.
        """
        ranks = candidates.ranks()
        if asked is not None:
            candidates, ranks = candidates.where(asked), {name: rank[asked] for name, rank in ranks.items()}
        user, item = candidates.user, candidates.item
        found = self.features.compute(history, user, item)
        found["tier"] = self.tiering.assign(history)[user].astype(np.float32)
        interests = self.tiering.interests_of(history)
        found["interest_in_layer"] = interests[user, self.tiering.item_layer[item]].astype(np.float32)
        found |= {f"score_{name}": score for name, score in candidates.scores.items()}
        return found | {f"rank_{name}": rank for name, rank in ranks.items()}


@dataclass(frozen=True)
class RankingDataset:
    """One window's candidates as a table, with what happened. Pairs are in order of user.

    user: row of each pair, [P]; label: whether the user took the item, [P]
    """

    table: dict[str, FloatArray]
    user: IntArray
    label: BoolArray

    @classmethod
    def of(
        cls,
        context: RankingContext,
        history: Interactions,
        candidates: Candidates,
        truth: tuple[IntArray, IntArray],
        *,
        negative_share: float,
        rng: np.random.Generator,
    ) -> Self:
        """All that the users took, and a share of what they did not: nearly as much to learn in far less time.

        Only users with a truth teach anything: the others have no order to learn.
        """
        candidates = candidates.of_users(truth[0])
        label = candidates.among(*truth, history.num_items)
        keep = label | (rng.random(len(label)) < negative_share)
        return cls(context.table(history, candidates, keep), candidates.user[keep], label[keep])


@dataclass(frozen=True)
class BlendRanker:
    """Gradient boosted trees that order candidates, as of the final snapshot.

    columns: names of the features, in the trees' order, [F]
    trees: LightGBM's own text form, one a seed
    short: the same for histories of at most FEW_ITEMS items; none where nothing was learned from newcomers
    """

    context: RankingContext
    columns: tuple[str, ...]
    trees: tuple[str, ...]
    short: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        context: RankingContext,
        examples: Sequence[RankingDataset],
        settings: BlendSettings,
        seed: int,
        newcomers: Sequence[RankingDataset] = (),
    ) -> Self:
        """Learn the order of all examples' candidates; `context` is what the blend will be asked with."""
        columns = tuple(examples[0].table)
        trees = _learned(examples, columns, settings, seed)
        short = _learned([*examples, *newcomers], columns, settings, seed) if newcomers else ()
        return cls(context, columns, trees, short)

    @cached_property
    def _boosters(self) -> tuple[list[lightgbm.Booster], list[lightgbm.Booster]]:
        """Those of long histories and those of short ones, read together so that no later request waits for it."""
        long, short = (
            [lightgbm.Booster(model_str=one) for one in trees] for trees in (self.trees, self.short)
        )
        return long, short

    def score(self, history: Interactions, candidates: Candidates) -> FloatArray:
        """The mean of the trees' scores of each pair, [P]; only the order within a user means something."""
        return self.score_table(self.context.table(history, candidates))

    def score_table(self, table: Mapping[str, FloatArray], threads: int = 0) -> FloatArray:
        """As `score`, for features that are computed already; 0 threads are as many as OpenMP gives."""
        return self._predicted(_stack(table, self.columns), num_threads=threads)

    def contributions(
        self, history: Interactions, candidates: Candidates, asked: BoolArray | None = None
    ) -> pd.DataFrame:
        """What each feature, and `base`, adds to each score, [P, F + 1] (Shapley values, Lundberg 2020).

        asked: which pairs to explain, all without it, [P]; then [A, F + 1].
        """
        values = _stack(self.context.table(history, candidates, asked), self.columns)
        shares = self._predicted(values, pred_contrib=True)
        return pd.DataFrame(shares.reshape(len(values), -1), columns=[*self.columns, "base"])

    def _predicted(self, values: FloatArray, **asked: Any) -> FloatArray:
        """What each pair's trees say, [P] or [P, F + 1]; values [P, F]."""
        if not len(values):
            return np.zeros((0, len(self.columns) + 1) if asked.get("pred_contrib") else 0)
        long, short = self._boosters
        is_short = values[:, self.columns.index(_NUM_ITEMS)] <= FEW_ITEMS if short else np.zeros(1, bool)
        if is_short.all() or not is_short.any():
            return _mean(short if is_short.all() else long, values, **asked)
        parts = _mean(long, values[~is_short], **asked), _mean(short, values[is_short], **asked)
        result = np.empty((len(values), *parts[0].shape[1:]))
        result[~is_short], result[is_short] = parts
        return result

    @property
    def importance(self) -> dict[str, float]:
        """Share of the whole gain that each feature brought, highest first."""
        gain = np.sum([booster.feature_importance("gain") for booster in self._boosters[0]], axis=0)
        order = np.argsort(-gain, kind="stable")
        return {self.columns[place]: float(gain[place] / max(gain.sum(), 1e-12)) for place in order}


def _learned(
    examples: Sequence[RankingDataset], columns: tuple[str, ...], settings: BlendSettings, seed: int
) -> tuple[str, ...]:
    """Trees that order all examples' candidates, one text a seed."""
    data = lightgbm.Dataset(
        np.concatenate([_stack(one.table, columns) for one in examples]),
        label=np.concatenate([one.label for one in examples]),
        group=np.concatenate([np.unique(one.user, return_counts=True)[1] for one in examples]),
        params={"max_bin": settings.max_bin, "verbose": -1},
        free_raw_data=False,
    )
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=settings.num_seeds)
    boosters = [lightgbm.train(_parameters(settings, int(one)), data, settings.num_trees) for one in seeds]
    return tuple(booster.model_to_string() for booster in boosters)


def _mean(boosters: Sequence[lightgbm.Booster], values: FloatArray, **asked: Any) -> FloatArray:
    mean: FloatArray = np.mean([booster.predict(values, **asked) for booster in boosters], axis=0)
    return mean


def _stack(table: Mapping[str, FloatArray], columns: Sequence[str]) -> FloatArray:
    """The table as one array in the given order of columns, [P, F] float32."""
    stacked = np.empty((len(table[columns[0]]), len(columns)), np.float32)
    for place, name in enumerate(columns):
        stacked[:, place] = table[name]
    return stacked


def _parameters(settings: BlendSettings, seed: int) -> dict[str, object]:
    """LightGBM's parameters, fixed so that the same examples give the same trees."""
    return {
        "objective": settings.objective,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "feature_fraction": settings.feature_share,
        "bagging_fraction": settings.row_share,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "lambdarank_truncation_level": settings.truncation,
        "max_bin": settings.max_bin,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings.num_threads,
        "verbose": -1,
    }
