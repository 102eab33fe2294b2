"""Past windows as training and validation data of the blend: histories, candidates, and the pairs that followed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.gradient_boosting import RankingExamples
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation.bootstrap import round_figure
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.blend import RankingContext, ranking_examples
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.training import SimulatedColdUsers, read_training

_CUTOFF = 10


@dataclass(frozen=True)
class SnapshotWindow:
    """One past window: histories and candidates as of its snapshot, and the pairs that followed (rows, columns)."""

    window: Window
    context: RankingContext
    history: Interactions
    candidates: Candidates
    truth: tuple[IntArray, IntArray]

    @classmethod
    def read(cls, layout: Layout, settings: Settings, log: SplitLog, window: Window) -> Self:
        """Read everything as of the window's snapshot."""
        training = read_training(layout, settings, log, window.snapshot)
        context = RankingContext.fit(training, settings.blend_of(window.task).attributes)
        candidates = artifacts.load(Candidates, layout.candidates(window.name))
        return cls(window, context, training.history, candidates, log.truth(window))

    def cold_users(self, layout: Layout, settings: Settings, log: SplitLog) -> Self | None:
        """The same window for simulated cold-start users; None if it has none."""
        share = settings.simulated_cold_share([self.window.task])
        users = SimulatedColdUsers.of(log, self.window, share, settings.seed)
        if not users.history.num_users:
            return None
        candidates = artifacts.load(Candidates, layout.cold_start_candidates(self.window.name))
        return replace(self, history=users.history, candidates=candidates, truth=users.truth)

    def examples(self, negative_share: float, rng: np.random.Generator) -> RankingExamples:
        """The window's candidates as training examples of the blend."""
        return ranking_examples(
            self.context, self.history, self.candidates, self.truth, negative_share=negative_share, rng=rng
        )

    def evaluate(self, blend: BlendRanker) -> dict[str, float]:
        """NDCG@10 of a blend that was not trained on the window, and of each model, on the same candidates."""
        truth = Truth.of(*self.truth, self.history.num_items)

        def ndcg(scores: FloatArray) -> float:
            items = self.candidates.best(scores, self.history.num_users, _CUTOFF).items
            return round_figure(per_user(items, truth, _CUTOFF)["ndcg"].mean())

        return {"blend": ndcg(blend.score(self.history, self.candidates))} | {
            name: ndcg(score) for name, score in self.candidates.scores.items()
        }


def read_snapshot_windows(layout: Layout, settings: Settings, log: SplitLog, task: str) -> list[SnapshotWindow]:
    """The task's windows before the test, oldest first."""
    return [SnapshotWindow.read(layout, settings, log, window) for window in log.windows_of(task, "train", "valid")]


def training_examples(windows: Sequence[SnapshotWindow], negative_share: float, seed: int) -> list[RankingExamples]:
    """The examples of each window, each sampled by a separate generator."""
    return [
        window.examples(negative_share, np.random.default_rng([seed, index])) for index, window in enumerate(windows)
    ]
