"""One trial of options, on the validation window alone: a model's lists, or a blend's order of given candidates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.models import registry
from tierrec_core.protocols.model import Ranker, Recommender, Retriever, Training
from tierrec_core.ranking import BlendRanker, Candidates
from tierrec_core.ranking.catalogue import rank_catalogue
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import Params, SearchRange, Settings, parse, search_space
from tierrec_core.stages.blend import read_lessons
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training

CUTOFF = 10
_BLEND = "blend"


@dataclass(frozen=True)
class TuningTarget:
    """What is tuned: one block of params.yaml.

    block: the keys that lead to it, such as models and ease; window: on which options are judged
    space: the options that are searched; usual: their defaults; fixed: the other options, as params.yaml has them
    judge: NDCG@10 of each user of the window with a truth, given options in place of params.yaml's, [E]
    """

    block: tuple[str, ...]
    window: Window
    space: Mapping[str, SearchRange]
    usual: Mapping[str, Any]
    fixed: Mapping[str, Any]
    judge: Callable[[Mapping[str, Any]], FloatArray]


def subject(layout: Layout, settings: Settings, name: str, task: str) -> TuningTarget:
    """A model of params.yaml by its name, or the task's blend as `blend`.

    Raises SettingsError for a name or a task that params.yaml lacks, and for a model without anything to search.
    """
    log = read_split(layout)
    if task not in log.tasks:
        raise SettingsError(f"tune: task {task!r} is unknown; known are {', '.join(log.tasks)}")
    if name == _BLEND:
        return _blend(layout, settings, log, task)
    if name not in settings.models:
        known = ", ".join([*settings.models, _BLEND])
        raise SettingsError(f"tune: no model {name!r} in params.yaml; known are {known}")
    return _model(layout, settings, log, name, task)


def _model(layout: Layout, settings: Settings, log: SplitLog, name: str, task: str) -> TuningTarget:
    block = settings.models[name]
    kind, config = registry.configure(name, block)
    space = search_space(type(config))
    if not space:
        raise SettingsError(f"tune: models.{name}: its kind has no option that is worth a search")
    window = log.windows_of(task, "valid")[0]
    training = read_training(layout, settings, log, window.snapshot)
    truth = Truth.of(*log.truth(window), log.log.num_items)

    def judge(options: Mapping[str, Any]) -> FloatArray:
        _, tried = registry.configure(name, dict(block) | dict(options))
        with threadpool_limits(1):
            return _ndcg(layout, kind.fit(training, tried), training, window, truth)

    return TuningTarget(("models", name), window, space, *_parted(config, space), judge)


def _ndcg(layout: Layout, model: Recommender, training: Training, window: Window, truth: Truth) -> FloatArray:
    """Of the whole catalogue's order by a retriever, of the window's candidates' order by a ranker."""
    history = training.history
    if isinstance(model, Retriever):
        ranked = rank_catalogue(
            model, history.select_users(truth.users), CUTOFF, exclude_seen=not window.repeats
        )
    elif isinstance(model, Ranker):
        table = artifacts.load(Candidates, layout.candidates(window.name)).padded(history.num_users)
        table = table[truth.users]
        scores = model.score_candidates(history.select_users(truth.users), table)
        ranked = rank_candidates(scores, table, CUTOFF)
    items = np.full((history.num_users, CUTOFF), -1, np.int32)
    items[truth.users] = ranked.items
    return per_user(items, truth, CUTOFF)["ndcg"]


def _blend(layout: Layout, settings: Settings, log: SplitLog, task: str) -> TuningTarget:
    """Taught by the windows that are over when the newest begins, judged on the newest, as stage blend does it."""
    options = settings.blend_of(task)
    known, _ = read_lessons(layout, settings, log, task)
    newest = known[-1]
    examples = [
        lesson.examples(options.negative_share, np.random.default_rng([settings.seed, place]))
        for place, lesson in enumerate(known)
        if log.ends_before(lesson.window, newest.window)
    ]
    if not examples:
        raise SettingsError(
            f"tune: blend.{task}: no window is over when the newest begins; raise tasks.{task}.windows"
        )
    table = newest.context.table(newest.history, newest.candidates)
    padded = newest.candidates.padded(newest.history.num_users)
    truth = Truth.of(*newest.truth, newest.history.num_items)

    def judge(tried: Mapping[str, Any]) -> FloatArray:
        chosen = parse(BlendSettings, options.model_dump() | dict(tried), f"tune: blend.{task}")
        scores = np.full(padded.shape, -np.inf)
        scores[padded >= 0] = BlendRanker.fit(newest.context, examples, chosen, settings.seed).score_table(
            table
        )
        return per_user(rank_candidates(scores, padded, CUTOFF).items, truth, CUTOFF)["ndcg"]

    space = search_space(BlendSettings)
    return TuningTarget((_BLEND, task), newest.window, space, *_parted(options, space), judge)


def _parted(config: Params, space: Mapping[str, SearchRange]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The defaults of what is searched, and the present values of what is not."""
    usual = {name: type(config).model_fields[name].default for name in space}
    return usual, {name: value for name, value in config.model_dump().items() if name not in space}
