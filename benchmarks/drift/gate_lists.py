"""Lists of the demo shop for gate trials: the champion's, those of worse challengers, and of equal refits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.gradient_boosting import RankingExamples
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.blend import RankingContext
from tierrec_core.settings import Settings, read_settings
from tierrec_core.stages.inputs.snapshot_windows import SnapshotWindow
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training
from tierrec_core.tiers import Tiering

CUTOFF = 10
SEEDS, SUBSETS = (8, 9), (1, 2, 3)
_SUBSET_SHARE = 0.9  # of the users, for a refit on a subset
_BEST_SINGLE = {"next": "tifu_knn", "discovery": "ease_binary"}


@dataclass(frozen=True)
class ShopTask:
    """One task's ranked lists of all users as item columns padded with -1, [U, L], and the ground truth.

    blend: the champion's; single: the best single model's; popular: the same for all; stale: the blend's as of one
    horizon before; refits: the same blend refitted
    """

    truth: Truth
    blend: IntArray
    single: IntArray
    popular: IntArray
    stale: IntArray
    refits: Mapping[str, IntArray]

    def ndcg(self, items: IntArray) -> FloatArray:
        """NDCG of each user with ground truth, [E]."""
        return per_user(items, self.truth, CUTOFF)["ndcg"]


@dataclass(frozen=True)
class Shop:
    """A finished run. tasks: the main one first; tier: of each user, [U]; settings: params.yaml."""

    tasks: Mapping[str, ShopTask]
    tier: IntArray
    settings: Settings

    @classmethod
    def read(cls, root: Path, report: Callable[[str], None]) -> "Shop":
        """Read a finished run. Raises ArtifactError without one."""
        layout = Layout(root)
        settings, log = read_settings(layout.params), read_split(layout)
        tasks = {}
        for task in ("next", "discovery"):
            tasks[task] = _read(layout, settings, log, task)
            report(f"gate: {task}: {len(tasks[task].truth.users)} users, {len(tasks[task].refits)} refits")
        tier = artifacts.load(Tiering, layout.tiering(log.final.name)).tier
        return cls(tasks, tier, settings)


def _read(layout: Layout, settings: Settings, log: SplitLog, task: str) -> ShopTask:
    (window,) = log.windows_of(task, "test")
    blend, history = artifacts.load(BlendRanker, layout.blend(task)), log.history(log.final.name)
    candidates = artifacts.load(Candidates, layout.candidates(window.name))
    snapshots = [
        SnapshotWindow.read(layout, settings, log, window) for window in log.windows_of(task, "train", "valid")
    ]
    lists = {name: _read_lists(log, layout.lists(task, name)) for name in ("blend", _BEST_SINGLE[task], "popularity")}
    newest = snapshots[-1]
    stale = _ranked(replace(blend, context=newest.context), newest.history, newest.candidates)
    context = RankingContext.fit(
        read_training(layout, settings, log, log.final.name), settings.blend_of(task).attributes
    )
    table = context.table(history, candidates)
    refits = {
        name: _by_score(refit.score_table(table), candidates, history.num_users)
        for name, refit in _refits(context, snapshots, settings, task).items()
    }
    truth = Truth.of(*log.truth(window), log.log.num_items)
    return ShopTask(truth, lists["blend"], lists[_BEST_SINGLE[task]], lists["popularity"], stale, refits)


def _ranked(blend: BlendRanker, history: Interactions, candidates: Candidates) -> IntArray:
    """The blend's lists, [U, 20]."""
    return _by_score(blend.score(history, candidates), candidates, history.num_users)


def _by_score(score: FloatArray, candidates: Candidates, num_users: int) -> IntArray:
    table = candidates.padded(num_users)
    padded = np.full(table.shape, -np.inf)
    padded[table >= 0] = score
    return rank_candidates(padded, table, 2 * CUTOFF).items


def _refits(
    context: RankingContext, snapshots: list[SnapshotWindow], settings: Settings, task: str
) -> dict[str, BlendRanker]:
    """Refit the blend with other seeds, and to random subsets of the users."""
    options = settings.blend_of(task).model_copy(update={"num_threads": 1})
    examples = [
        snapshot.examples(options.negative_share, np.random.default_rng([settings.seed, index]))
        for index, snapshot in enumerate(snapshots)
    ]
    fitted = {f"seed {seed}": BlendRanker.fit(context, examples, options, seed) for seed in SEEDS}
    for subset in SUBSETS:
        part = [_subset(one, np.random.default_rng(subset)) for one in examples]
        fitted[f"subset {subset}"] = BlendRanker.fit(context, part, options, settings.seed)
    return fitted


def _subset(examples: RankingExamples, rng: np.random.Generator) -> RankingExamples:
    users = np.arange(examples.user.max() + 1)
    keep = np.isin(examples.user, users[rng.random(len(users)) < _SUBSET_SHARE])
    return RankingExamples(
        {name: column[keep] for name, column in examples.table.items()}, examples.user[keep], examples.label[keep]
    )


def _read_lists(log: SplitLog, path: Path) -> IntArray:
    """The lists that the evaluate stage wrote, [U, L]."""
    frame = pd.read_parquet(path)
    user = log.log.users.get_indexer(pd.Index(frame["user_id"].astype(object)))
    item = log.log.items.get_indexer(pd.Index(frame["item_id"].astype(object)))
    table = np.full((log.log.num_users, int(frame["rank"].max())), -1, np.int64)
    table[user, frame["rank"].to_numpy() - 1] = item
    return table
