"""One window's scored candidates, to evaluate list policies without scoring again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import rel_entr

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation import beyond_accuracy
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, paired_bootstrap
from tierrec_core.evaluation.metrics import Truth, coverage, per_user
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.blend import RankingContext
from tierrec_core.ranking.policy import Audience, ListPolicy
from tierrec_core.settings import PolicySettings as PolicySettings
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.snapshot_windows import SnapshotWindow

LENGTH, DRAWS = 10, 1000


@dataclass(frozen=True)
class PolicyTrials:
    """Candidates of the evaluated users with the blend's scores, [P]; row i of items is column i."""

    context: RankingContext
    history: Interactions
    candidates: Candidates
    scores: FloatArray
    truth: Truth
    items: pd.DataFrame

    @classmethod
    def validation(cls, layout: Layout, settings: Settings, log: SplitLog, task: str) -> Self:
        """The newest window before the test, with a blend trained on the windows that ended before it."""
        windows, options = log.windows_of(task, "train", "valid"), settings.blend_of(task)
        newest = SnapshotWindow.read(layout, settings, log, windows[-1])
        examples = [
            SnapshotWindow.read(layout, settings, log, window).examples(
                options.negative_share, np.random.default_rng([settings.seed, place])
            )
            for place, window in enumerate(windows)
            if log.ends_before(window, newest.window)
        ]
        options = options.model_copy(update={"num_threads": 1})
        blend = BlendRanker.fit(newest.context, examples, options, settings.seed)
        return cls._of(layout, log, windows[-1], blend, newest.history)

    @classmethod
    def test(cls, layout: Layout, log: SplitLog, task: str) -> Self:
        """The test window with the delivered blend."""
        blend = artifacts.load(BlendRanker, layout.blend(task))
        return cls._of(layout, log, log.windows_of(task, "test")[0], blend, log.history(log.final.name))

    @classmethod
    def _of(cls, layout: Layout, log: SplitLog, window: Window, blend: BlendRanker, history: Interactions) -> Self:
        truth = Truth.of(*log.truth(window), log.log.num_items)
        found = artifacts.load(Candidates, layout.candidates(window.name)).of_users(truth.users)
        items = artifacts.read_frame(layout.items, ITEMS)
        return cls(blend.context, history, found, blend.score(history, found), truth, items)

    @cached_property
    def plain(self) -> FloatArray:
        """NDCG of each evaluated user's list without a policy, [E]."""
        return per_user(self.lists({}), self.truth, LENGTH)["ndcg"]

    @cached_property
    def _audience(self) -> Audience:
        rows = self.truth.users
        history = self.history.select_users(rows)
        return Audience(history, self.context.tiering.assign(history), self.context.tiering)

    def lists(self, settings: Mapping[str, Any]) -> IntArray:
        """Top ten of each user under policy settings, [U, 10]."""
        policy = ListPolicy.fit(self.history, self.items, PolicySettings.model_validate(settings))
        found, users = self.candidates, self.history.num_users
        tier = np.zeros(users, np.int64)
        tier[self.truth.users] = self._audience.tier
        table = found.padded(users)
        padded = np.full(table.shape, -np.inf)
        padded[table >= 0] = policy.adjust(self.scores, found.user, found.item, tier)
        evaluated = self.truth.users
        ranked = rank_candidates(padded[evaluated], table[evaluated], policy.depth(LENGTH))
        lists = np.full((users, LENGTH), -1)
        lists[evaluated] = policy.apply(ranked, LENGTH, self._audience).items
        return lists

    def evaluate(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Accuracy, diversity and exposure under policy settings; the cost is a share of the NDCG without a policy."""
        lists, rng = self.lists(settings), np.random.default_rng(seed)
        ndcg = per_user(lists, self.truth, LENGTH)["ndcg"]
        gap = paired_bootstrap(self.plain, ndcg, DRAWS, rng)
        usual, num_items = float(self.plain.mean()), self.history.num_items
        category = pd.factorize(self.items["category"], use_na_sentinel=False)[0]
        return {
            "ndcg": float(ndcg.mean()),
            "cost": vars(ConfidenceInterval(gap.value / usual, gap.low / usual, gap.high / usual)),
            "diversity": beyond_accuracy.diversity(lists, category),
            "coverage": coverage(lists, num_items, LENGTH),
            "gini": beyond_accuracy.exposure_gini(lists, num_items),
            "divergence": self._divergence(lists),
            "bias": beyond_accuracy.popularity_bias(lists, self.history)["bias"],
        }

    def _divergence(self, lists: IntArray) -> float:
        """KL(interests || shares of the list's layers), smoothed as by the calibrated re-ranking; mean over users."""
        interests = self._audience.interests()
        layer = self._audience.layer(lists[self.truth.users])
        count = np.stack([(layer == one).sum(axis=1) for one in range(interests.shape[1])], axis=1)
        shares = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        return float(rel_entr(interests, 0.99 * shares + 0.01 * interests).sum(axis=1).mean())
