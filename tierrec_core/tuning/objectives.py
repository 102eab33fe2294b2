"""Objectives of a hyperparameter search: NDCG@10 on the validation window, for a model or for a task's blend."""

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
from tierrec_core.ranking.candidates import rank_catalogue
from tierrec_core.settings import BlendSettings, Params, SearchRange, Settings, parse, search_space
from tierrec_core.stages.inputs.snapshot_windows import read_snapshot_windows, training_examples
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training

CUTOFF = 10
_BLEND = "blend"


@dataclass(frozen=True)
class TuningTarget:
    """One tunable block of params.yaml.

    block: its keys, such as models and ease; window: the validation window
    space: the searched options; defaults: their default values; fixed: the other options as configured
    evaluate: NDCG@10 of each user with a truth, [E], given values that replace those of params.yaml
    """

    block: tuple[str, ...]
    window: Window
    space: Mapping[str, SearchRange]
    defaults: Mapping[str, Any]
    fixed: Mapping[str, Any]
    evaluate: Callable[[Mapping[str, Any]], FloatArray]


def tuning_target(layout: Layout, settings: Settings, name: str, task: str) -> TuningTarget:
    """A model of params.yaml by its name, or the task's blend as `blend`.

    Raises SettingsError for an unknown name or task, and for a model without searchable options.
    """
    log = read_split(layout)
    if task not in log.tasks:
        raise SettingsError(f"tune: task {task!r} is unknown; known are {', '.join(log.tasks)}")
    if name == _BLEND:
        return _blend_target(layout, settings, log, task)
    if name not in settings.models:
        known = ", ".join([*settings.models, _BLEND])
        raise SettingsError(f"tune: no model {name!r} in params.yaml; known are {known}")
    return _model_target(layout, settings, log, name, task)


def _model_target(layout: Layout, settings: Settings, log: SplitLog, name: str, task: str) -> TuningTarget:
    block = settings.models[name]
    kind, config = registry.configure(name, block)
    space = search_space(type(config))
    if not space:
        raise SettingsError(f"tune: models.{name}: its kind has no searchable option; choose another model")
    window = log.windows_of(task, "valid")[0]
    training = read_training(layout, settings, log, window.snapshot)
    truth = Truth.of(*log.truth(window), log.log.num_items)

    def evaluate(options: Mapping[str, Any]) -> FloatArray:
        _, trial_config = registry.configure(name, dict(block) | dict(options))
        with threadpool_limits(1):
            return _ndcg(layout, kind.fit(training, trial_config), training, window, truth)

    return TuningTarget(("models", name), window, space, *_split_options(config, space), evaluate)


def _ndcg(layout: Layout, model: Recommender, training: Training, window: Window, truth: Truth) -> FloatArray:
    """NDCG of each user with a truth; a retriever ranks the catalogue, a ranker the window's candidates, [E]."""
    history = training.history
    if isinstance(model, Retriever):
        ranked = rank_catalogue(model, history.select_users(truth.users), CUTOFF, exclude_seen=not window.repeats)
    elif isinstance(model, Ranker):
        table = artifacts.load(Candidates, layout.candidates(window.name)).padded(history.num_users)[truth.users]
        scores = model.score_candidates(history.select_users(truth.users), table)
        ranked = rank_candidates(scores, table, CUTOFF)
    items = np.full((history.num_users, CUTOFF), -1, np.int32)
    items[truth.users] = ranked.items
    return per_user(items, truth, CUTOFF)["ndcg"]


def _blend_target(layout: Layout, settings: Settings, log: SplitLog, task: str) -> TuningTarget:
    """Train on the windows that end before the newest and evaluate on the newest, as stage blend does."""
    options = settings.blend_of(task)
    windows = read_snapshot_windows(layout, settings, log, task)
    newest = windows[-1]
    earlier = [window for window in windows if log.ends_before(window.window, newest.window)]
    if not earlier:
        raise SettingsError(f"tune: blend.{task}: no window ends before the newest begins; raise tasks.{task}.windows")
    examples = training_examples(earlier, options.negative_share, settings.seed)
    table = newest.context.table(newest.history, newest.candidates)
    truth = Truth.of(*newest.truth, newest.history.num_items)

    def evaluate(trial_options: Mapping[str, Any]) -> FloatArray:
        config = parse(BlendSettings, options.model_dump() | dict(trial_options), f"tune: blend.{task}")
        blend = BlendRanker.fit(newest.context, examples, config, settings.seed)
        ranked = newest.candidates.best(blend.score_table(table), newest.history.num_users, CUTOFF)
        return per_user(ranked.items, truth, CUTOFF)["ndcg"]

    space = search_space(BlendSettings)
    return TuningTarget((_BLEND, task), newest.window, space, *_split_options(options, space), evaluate)


def _split_options(config: Params, space: Mapping[str, SearchRange]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The defaults of the searched options, and the configured values of the others."""
    defaults = {name: type(config).model_fields[name].default for name in space}
    return defaults, {name: value for name, value in config.model_dump().items() if name not in space}
