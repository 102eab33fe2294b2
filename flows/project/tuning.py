"""A search for a block's options that can be cut and goes on, and what came of it as a patch of params.yaml."""

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
from tierrec_core.tuning.objectives import TuningTarget, subject
from tierrec_core.tuning.study import brief, search

_DRAWS = 1000
Tell = Callable[[str], None]


@dataclass(frozen=True)
class TuningResult:
    """What a search found.

    block: the keys of params.yaml that lead to the options; options: the best that were tried
    present, best: mean NDCG@10 on the validation window, with what params.yaml holds and with these options
    gain: the paired difference over users
    """

    block: tuple[str, ...]
    options: Mapping[str, Any]
    present: ConfidenceInterval
    best: ConfidenceInterval
    gain: ConfidenceInterval

    @property
    def patch(self) -> dict[str, Any]:
        """The options where params.yaml has them; nothing where none was better than what it holds."""
        if self.gain.value <= 0:
            return {}
        nested = dict(self.options)
        for key in reversed(self.block):
            nested = {key: nested}
        return nested

    @property
    def assignments(self) -> list[str]:
        """The patch as `tierrec run --set` takes it."""
        place = ".".join(self.block)
        return [f"{place}.{name}={value}" for name, value in self.options.items()] if self.patch else []


def tune(layout: Layout, name: str, task: str, trials: int, tell: Tell) -> TuningResult:
    """Try so many sets of options, those of earlier calls included; the test is never looked at.

    Raises SettingsError for a name or a task that params.yaml lacks.
    """
    settings = read_settings(layout.params)
    what = subject(layout, settings, name, task)
    present = what.judge({})
    best = float(present.mean())
    tell(f"{'.'.join(what.block)} on {what.window.name}: ndcg@10 {best:.5f} as params.yaml has it")

    def judge(options: Mapping[str, Any]) -> float:
        nonlocal best
        value = float(what.judge(options).mean())
        best = max(best, value)
        tell(f"ndcg@10 {value:.5f}, best {best:.5f}: {brief(options)}")
        return value

    found = search(what.space, judge, trials, settings.seed, [what.usual], _journal(layout, what))
    values = what.judge(found.options)
    return TuningResult(
        what.block,
        found.options,
        bootstrap_mean(present, _DRAWS, np.random.default_rng(settings.seed)),
        bootstrap_mean(values, _DRAWS, np.random.default_rng(settings.seed)),
        paired_bootstrap(values, present, _DRAWS, np.random.default_rng(settings.seed)),
    )


def _journal(layout: Layout, what: TuningTarget) -> Path:
    """The file of this block's trials on this data: figures of other data, or of another block, are no guide."""
    digest = hashlib.sha256(repr((what.block, what.window, what.fixed)).encode())
    for file in sorted(path for path in layout.split.rglob("*") if path.is_file()):
        digest.update(artifacts.sha256(file).encode())
    layout.tuning.mkdir(parents=True, exist_ok=True)
    return layout.tuning / f"{'.'.join(what.block)}-{what.window.task}-{digest.hexdigest()[:12]}.trials"
