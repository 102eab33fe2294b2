"""A resumable search for better options of a model or blend; its result is a patch of params.yaml."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_mean, paired_bootstrap
from tierrec_core.settings import read_settings
from tierrec_core.tuning.objectives import TuningTarget, tuning_target
from tierrec_core.tuning.study import format_options, search_options

_DRAWS = 1000


@dataclass(frozen=True)
class TuningResult:
    """The result of a search.

    block: the path of the options in params.yaml; options: the best of all trials
    present, best: mean NDCG@10 on the validation window, with the options of params.yaml and the best ones
    gain: the paired difference over users
    """

    block: tuple[str, ...]
    options: Mapping[str, Any]
    present: ConfidenceInterval
    best: ConfidenceInterval
    gain: ConfidenceInterval

    @property
    def patch(self) -> dict[str, Any]:
        """The options nested as in params.yaml; empty if no trial was better than params.yaml."""
        if self.gain.value <= 0:
            return {}
        nested = dict(self.options)
        for key in reversed(self.block):
            nested = {key: nested}
        return nested

    @property
    def assignments(self) -> list[str]:
        """The patch as arguments of `tierrec run --set`."""
        block = ".".join(self.block)
        return [f"{block}.{name}={value}" for name, value in self.options.items()] if self.patch else []


def tune(layout: Layout, name: str, task: str, trials: int, report: Callable[[str], None]) -> TuningResult:
    """Run trials on the validation window up to the given number, including those of earlier calls.

    Raises SettingsError for a name or a task that params.yaml lacks.
    """
    settings = read_settings(layout.params)
    target = tuning_target(layout, settings, name, task)
    present = target.evaluate({})
    best = float(present.mean())
    report(f"{'.'.join(target.block)} on {target.window.name}: ndcg@10 {best:.5f} with the present options")

    def objective(options: Mapping[str, Any]) -> float:
        nonlocal best
        value = float(target.evaluate(options).mean())
        best = max(best, value)
        report(f"ndcg@10 {value:.5f}, best {best:.5f}: {format_options(options)}")
        return value

    journal = _journal(layout, target)
    best_trial = search_options(target.space, objective, trials, settings.seed, [target.defaults], journal)
    values = target.evaluate(best_trial.options)
    return TuningResult(
        target.block,
        best_trial.options,
        bootstrap_mean(present, _DRAWS, np.random.default_rng(settings.seed)),
        bootstrap_mean(values, _DRAWS, np.random.default_rng(settings.seed)),
        paired_bootstrap(values, present, _DRAWS, np.random.default_rng(settings.seed)),
    )


def _journal(layout: Layout, target: TuningTarget) -> Path:
    """The file of this block's trials on this data; trials on other data are not comparable."""
    digest = hashlib.sha256(repr((target.block, target.window, target.fixed)).encode())
    for file in sorted(path for path in layout.split.rglob("*") if path.is_file()):
        digest.update(artifacts.sha256(file).encode())
    layout.tuning.mkdir(parents=True, exist_ok=True)
    return layout.tuning / f"{'.'.join(target.block)}-{target.window.task}-{digest.hexdigest()[:12]}.trials"
