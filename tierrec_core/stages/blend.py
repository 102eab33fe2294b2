"""blend: learn from earlier windows how to order candidates, one blend a task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.ranker import RankingContext, RankingDataset
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.simulated_cold_users import SimulatedColdUsers
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training

_CUTOFF = 10


def run(layout: Layout, settings: Settings) -> None:
    """Fit on the windows that end before the newest begins, judge on that one, then fit on all and save."""
    log = read_split(layout)
    report = {task: _fit(layout, settings, log, task) for task in log.tasks}
    artifacts.write_json(report, layout.blend_report)


def _fit(layout: Layout, settings: Settings, log: SplitLog, task: str) -> dict[str, Any]:
    """Save the task's blend and tell how its trial did and what it looks at."""
    options = settings.blend_of(task)
    known, strangers = read_lessons(layout, settings, log, task)
    newest = known[-1]
    examples, newcomers = (_examples(lessons, options, settings.seed) for lessons in (known, strangers))
    report: dict[str, Any] = {
        "windows": len(known),
        "examples": sum(len(one.label) for one in examples + newcomers),
    }
    earlier = [
        example
        for example, lesson in zip(examples, known, strict=True)
        if log.ends_before(lesson.window, newest.window)
    ]
    if earlier:
        report["valid"] = newest.judge(BlendRanker.fit(newest.context, earlier, options, settings.seed))
        print(f"blend {task}: {report['valid']}", flush=True)
    context = RankingContext.fit(read_training(layout, settings, log, log.final.name), options.attributes)
    blend = BlendRanker.fit(context, examples, options, settings.seed, newcomers)
    artifacts.save(blend, layout.blend(task))
    return report | {"importance": {name: round(share, 6) for name, share in blend.importance.items()}}


def _examples(lessons: Sequence["SnapshotWindow"], options: BlendSettings, seed: int) -> list[RankingDataset]:
    return [
        lesson.examples(options.negative_share, np.random.default_rng([seed, place]))
        for place, lesson in enumerate(lessons)
    ]


def read_lessons(
    layout: Layout, settings: Settings, log: SplitLog, task: str
) -> tuple[list["SnapshotWindow"], list["SnapshotWindow"]]:
    """Of each earlier window, oldest first, what whole histories teach, and what newcomers do where there are some."""
    known = [
        SnapshotWindow.read(layout, settings, log, window)
        for window in log.windows_of(task, "train", "valid")
    ]
    found = [one.of_newcomers(layout, settings, log) for one in known]
    return known, [one for one in found if one is not None]


@dataclass(frozen=True)
class SnapshotWindow:
    """One earlier window: what was known, what the models said of it, and what then happened."""

    window: Window
    context: RankingContext
    history: Interactions
    candidates: Candidates
    truth: tuple[IntArray, IntArray]

    @classmethod
    def read(cls, layout: Layout, settings: Settings, log: SplitLog, window: Window) -> Self:
        """Everything as of the window's snapshot."""
        training = read_training(layout, settings, log, window.snapshot)
        context = RankingContext.fit(training, settings.blend_of(window.task).attributes)
        candidates = artifacts.load(Candidates, layout.candidates(window.name))
        return cls(window, context, training.history, candidates, log.truth(window))

    def of_newcomers(self, layout: Layout, settings: Settings, log: SplitLog) -> Self | None:
        """The same window for strangers, of whom only a few events are known; None where it has none."""
        found = SimulatedColdUsers.of(
            log, self.window, settings.simulated_cold_share([self.window.task]), settings.seed
        )
        if not found.history.num_users:
            return None
        candidates = artifacts.load(Candidates, layout.cold_start_candidates(self.window.name))
        return replace(self, history=found.history, candidates=candidates, truth=found.truth)

    def examples(self, negative_share: float, rng: np.random.Generator) -> RankingDataset:
        """What a blend may learn from it."""
        return RankingDataset.of(
            self.context, self.history, self.candidates, self.truth, negative_share=negative_share, rng=rng
        )

    def judge(self, blend: BlendRanker) -> dict[str, float]:
        """NDCG of the blend, which must not have seen it, and of each model's order of the same candidates."""
        table = self.candidates.padded(self.history.num_users)
        truth = Truth.of(*self.truth, self.history.num_items)

        def ndcg(scores: FloatArray) -> float:
            padded = np.full(table.shape, -np.inf)
            padded[table >= 0] = scores
            items = rank_candidates(padded, table, _CUTOFF).items
            return round(float(per_user(items, truth, _CUTOFF)["ndcg"].mean()), 6)

        return {"blend": ndcg(blend.score(self.history, self.candidates))} | {
            name: ndcg(score) for name, score in self.candidates.scores.items()
        }
