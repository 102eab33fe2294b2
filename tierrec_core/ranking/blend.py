"""The blend: a learned ranker over all models' scores, history and context (LambdaMART, Burges 2010).

It is the second stage of recommendation; the stage that trains it and its row in metrics.json are named `blend`, too.
A stacked model (Wolpert 1992; LightGBM, Ke 2017): models fitted before a past window score its candidates, and the
labels are the users' events in the window. Tier, history and recency are features, so the weight of each model depends
on the user. Short histories have their own trees, also trained on simulated cold-start users; training all trees on
these would lower the quality for users with long histories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.gradient_boosting import RankingExamples, boosting_parameters, ranking_data, stack_columns
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.user_item_history import UserItemFeatures
from tierrec_core.protocols.model import Training
from tierrec_core.ranking.candidates import Candidates
from tierrec_core.settings import BlendSettings
from tierrec_core.tiers import Tiering

if TYPE_CHECKING:
    import lightgbm

SHORT_HISTORY_ITEMS = 8


@dataclass(frozen=True)
class RankingContext:
    """State as of a snapshot that is the same for all users: item statistics and the tiering."""

    features: UserItemFeatures
    tiering: Tiering

    @classmethod
    def fit(cls, training: Training, attributes: Sequence[str]) -> Self:
        """Compute the item statistics on the training history."""
        features = UserItemFeatures.fit(training.history, training.items, attributes, training.target)
        return cls(features, training.tiering)

    def table(
        self, history: Interactions, candidates: Candidates, mask: BoolArray | None = None
    ) -> dict[str, FloatArray]:
        """Every feature by name: scores, ranks, behaviour, tier and interest, [P], or [M] with a mask.

        mask: the pairs to compute, [P]; the other candidates still count for the ranks of these.
        """
        ranks = candidates.ranks()
        if mask is not None:
            candidates, ranks = candidates.where(mask), {name: rank[mask] for name, rank in ranks.items()}
        user, item = candidates.user, candidates.item
        table = self.features.compute(history, user, item)
        table["tier"] = self.tiering.assign(history)[user].astype(np.float32)
        interests = self.tiering.interests_of(history)
        table["interest_in_layer"] = interests[user, self.tiering.item_layer[item]].astype(np.float32)
        table |= {f"score_{name}": score for name, score in candidates.scores.items()}
        return table | {f"rank_{name}": rank for name, rank in ranks.items()}


def ranking_examples(
    context: RankingContext,
    history: Interactions,
    candidates: Candidates,
    truth: tuple[IntArray, IntArray],
    *,
    negative_share: float,
    rng: np.random.Generator,
) -> RankingExamples:
    """One window's candidates, labelled with whether the user then interacted with the item.

    All positives and a random share of the negatives, of users with a truth (user [Q], item [Q]).
    """
    candidates = candidates.of_users(truth[0])
    label = candidates.among(*truth, history.num_items)
    keep = label | (rng.random(len(label)) < negative_share)
    return RankingExamples(context.table(history, candidates, keep), candidates.user[keep], label[keep])


@dataclass(frozen=True)
class BlendRanker:
    """Gradient boosted trees that rank candidates, as of the final snapshot.

    columns: names of the features, in the trees' order, [F]
    trees: LightGBM's text format, one per seed
    short_history_trees: the same for histories of at most SHORT_HISTORY_ITEMS items; empty without cold-start examples
    """

    context: RankingContext
    columns: tuple[str, ...]
    trees: tuple[str, ...]
    short_history_trees: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        context: RankingContext,
        examples: Sequence[RankingExamples],
        settings: BlendSettings,
        seed: int,
        cold_users: Sequence[RankingExamples] = (),
    ) -> Self:
        """Learn to rank the candidates of all examples; `context` is the snapshot to predict from."""
        columns = tuple(examples[0].table)
        trees = _fit_trees(examples, columns, settings, seed)
        short = _fit_trees([*examples, *cold_users], columns, settings, seed) if cold_users else ()
        return cls(context, columns, trees, short)

    @cached_property
    def _boosters(self) -> tuple["list[lightgbm.Booster]", "list[lightgbm.Booster]"]:
        """Boosters of long and of short histories, parsed together so that no later request waits for parsing."""
        import lightgbm  # takes seconds, which the stage that only retrieves candidates does not need

        long, short = (
            [lightgbm.Booster(model_str=text) for text in trees] for trees in (self.trees, self.short_history_trees)
        )
        return long, short

    def score(self, history: Interactions, candidates: Candidates) -> FloatArray:
        """Mean of the trees' scores of each pair, [P]; only the order within a user is meaningful."""
        return self.score_table(self.context.table(history, candidates))

    def score_table(self, table: Mapping[str, FloatArray], threads: int = 0) -> FloatArray:
        """Mean of the trees' scores of computed features, [P]; with 0 threads OpenMP decides."""
        return self._predict(stack_columns(table, self.columns), num_threads=threads)

    def contributions(
        self, history: Interactions, candidates: Candidates, mask: BoolArray | None = None
    ) -> pd.DataFrame:
        """SHAP values of each feature, and `base`, in each score, [P, F + 1] (Lundberg 2020).

        mask: the pairs to explain, [P]; then [M, F + 1].
        """
        values = stack_columns(self.context.table(history, candidates, mask), self.columns)
        shares = self._predict(values, pred_contrib=True)
        return pd.DataFrame(shares.reshape(len(values), -1), columns=[*self.columns, "base"])

    def _predict(self, values: FloatArray, **options: Any) -> FloatArray:
        """Mean prediction for features [P, F], by the trees for each history's length: [P] or [P, F + 1]."""
        if not len(values):
            return np.zeros((0, len(self.columns) + 1) if options.get("pred_contrib") else 0)
        long, short = self._boosters
        num_items = values[:, self.columns.index("user_items")]
        is_short = num_items <= SHORT_HISTORY_ITEMS if short else np.zeros(1, bool)
        if is_short.all() or not is_short.any():
            return _predict_mean(short if is_short.all() else long, values, **options)
        parts = (_predict_mean(long, values[~is_short], **options), _predict_mean(short, values[is_short], **options))
        result = np.empty((len(values), *parts[0].shape[1:]))
        result[~is_short], result[is_short] = parts
        return result

    @property
    def importance(self) -> dict[str, float]:
        """Each feature's share of the total gain, highest first."""
        gain = np.sum([booster.feature_importance("gain") for booster in self._boosters[0]], axis=0)
        order = np.argsort(-gain, kind="stable")
        return {self.columns[index]: float(gain[index] / max(gain.sum(), 1e-12)) for index in order}


def _fit_trees(
    examples: Sequence[RankingExamples], columns: tuple[str, ...], settings: BlendSettings, seed: int
) -> tuple[str, ...]:
    """One fit per seed, as LightGBM's text."""
    import lightgbm

    data = ranking_data(examples, columns, settings.max_bin)
    parameters = boosting_parameters(
        settings, seed, objective=settings.objective, row_share=settings.row_share, num_threads=settings.num_threads
    ) | {"lambdarank_truncation_level": settings.truncation}
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=settings.num_seeds)
    return tuple(
        lightgbm.train(parameters | {"seed": int(fit_seed)}, data, settings.num_trees).model_to_string()
        for fit_seed in seeds
    )


def _predict_mean(boosters: "Sequence[lightgbm.Booster]", values: FloatArray, **options: Any) -> FloatArray:
    return np.asarray(np.mean([booster.predict(values, **options) for booster in boosters], axis=0))
