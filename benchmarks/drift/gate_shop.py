"""Lists of the demo shop that a gate can be tried on: the blend's, what a worse challenger would show, and equals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.ranker import RankingContext, RankingDataset
from tierrec_core.settings import Settings, read_settings
from tierrec_core.stages.blend import SnapshotWindow
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training
from tierrec_core.tiers import Tiering

CUTOFF = 10
SEEDS, SUBSETS = (8, 9), (1, 2, 3)
_KEPT = 0.9  # of the users, from whom a refit on a subset learns
_FAVOURITES = {"next": "tifu_knn", "discovery": "ease_binary"}


@dataclass(frozen=True)
class ShopTask:
    """One task's lists of all users by name, best first, as item columns with -1 behind, [U, L], and the truth.

    blend: the champion's; single: the best single model's; popular: the same for all; stale: the blend's, as it knew
    the world one horizon before; refits: the same blend fitted again
    """

    truth: Truth
    blend: IntArray
    single: IntArray
    popular: IntArray
    stale: IntArray
    refits: Mapping[str, IntArray]

    def ndcg(self, items: IntArray) -> FloatArray:
        """Of each user with a truth, [E]."""
        return per_user(items, self.truth, CUTOFF)["ndcg"]


@dataclass(frozen=True)
class Shop:
    """tasks: the main one first; tier: of each user, [U]; settings: params.yaml"""

    tasks: Mapping[str, ShopTask]
    tier: IntArray
    settings: Settings

    @classmethod
    def read(cls, root: Path, tell: Callable[[str], None]) -> "Shop":
        """Read a finished run. Raises ArtifactError where nothing was run yet."""
        layout = Layout(root)
        settings, log = read_settings(layout.params), read_split(layout)
        tasks = {}
        for task in ("next", "discovery"):
            tasks[task] = _read(layout, settings, log, task)
            tell(f"gate: {task}: {len(tasks[task].truth.users)} users, {len(tasks[task].refits)} refits")
        tier = artifacts.load(Tiering, layout.tiering(log.final.name)).tier
        return cls(tasks, tier, settings)


def _read(layout: Layout, settings: Settings, log: SplitLog, task: str) -> ShopTask:
    (window,) = log.windows_of(task, "test")
    blend, history = artifacts.load(BlendRanker, layout.blend(task)), log.history(log.final.name)
    candidates = artifacts.load(Candidates, layout.candidates(window.name))
    lessons = [
        SnapshotWindow.read(layout, settings, log, one) for one in log.windows_of(task, "train", "valid")
    ]
    kept = {name: _kept(log, layout.lists(task, name)) for name in ("blend", _FAVOURITES[task], "popularity")}
    newest = lessons[-1]
    stale = _ranked(replace(blend, context=newest.context), newest.history, newest.candidates)
    context = RankingContext.fit(
        read_training(layout, settings, log, log.final.name), settings.blend_of(task).attributes
    )
    table = context.table(history, candidates)
    again = {
        name: _by_score(one.score_table(table), candidates, history.num_users)
        for name, one in _refits(context, lessons, settings, task).items()
    }
    truth = Truth.of(*log.truth(window), log.log.num_items)
    return ShopTask(truth, kept["blend"], kept[_FAVOURITES[task]], kept["popularity"], stale, again)


def _ranked(blend: BlendRanker, history: Interactions, candidates: Candidates) -> IntArray:
    """The blend's lists, [U, 20]."""
    return _by_score(blend.score(history, candidates), candidates, history.num_users)


def _by_score(score: FloatArray, candidates: Candidates, num_users: int) -> IntArray:
    table = candidates.padded(num_users)
    padded = np.full(table.shape, -np.inf)
    padded[table >= 0] = score
    return rank_candidates(padded, table, 2 * CUTOFF).items


def _refits(
    context: RankingContext, lessons: list[SnapshotWindow], settings: Settings, task: str
) -> dict[str, BlendRanker]:
    """The same blend again: with other seeds, and from other subsets of the users."""
    options = settings.blend_of(task).model_copy(
        update={"num_threads": 1}
    )  # the same trees; two wait for each other
    examples = [
        one.examples(options.negative_share, np.random.default_rng([settings.seed, place]))
        for place, one in enumerate(lessons)
    ]
    fitted = {f"seed {seed}": BlendRanker.fit(context, examples, options, seed) for seed in SEEDS}
    for subset in SUBSETS:
        part = [_subset(one, np.random.default_rng(subset)) for one in examples]
        fitted[f"subset {subset}"] = BlendRanker.fit(context, part, options, settings.seed)
    return fitted


def _subset(examples: RankingDataset, rng: np.random.Generator) -> RankingDataset:
    users = np.arange(examples.user.max() + 1)
    keep = np.isin(examples.user, users[rng.random(len(users)) < _KEPT])
    return RankingDataset(
        {name: column[keep] for name, column in examples.table.items()},
        examples.user[keep],
        examples.label[keep],
    )


def _kept(log: SplitLog, path: Path) -> IntArray:
    """The lists that the evaluate stage wrote, [U, L]."""
    frame = pd.read_parquet(path)
    user = log.log.users.get_indexer(pd.Index(frame["user_id"].astype(object)))
    item = log.log.items.get_indexer(pd.Index(frame["item_id"].astype(object)))
    table = np.full((log.log.num_users, int(frame["rank"].max())), -1, np.int64)
    table[user, frame["rank"].to_numpy() - 1] = item
    return table
