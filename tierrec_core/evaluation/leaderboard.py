"""One task's block of metrics.json: every model's figures, intervals, and paired difference to a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.bootstrap import Interval, intervals
from tierrec_core.evaluation.metrics import METRICS, Truth, coverage, per_user
from tierrec_core.settings import EvaluateSettings

BLEND = "blend"
_DIGITS = 6
_MAIN = "ndcg"
_A_TIER = ("ndcg", "recall")

Block = dict[str, Any]


def judge(
    lists: Mapping[str, IntArray],
    truth: Truth,
    groups: tuple[IntArray, Sequence[str]],
    settings: EvaluateSettings,
    rng: np.random.Generator,
    baseline: str | None = None,
) -> dict[str, Block]:
    """Judge the lists [U, L] of each model on one truth: model -> its block of metrics.json.

    groups: tier of each user, [U], as an index into the names that come with it
    baseline: against whom differences are taken; without one, the best single model on this very truth, which
    if anything flatters the baseline. Raises SettingsError when it is not among the models.
    """
    values = {model: _values(items, truth, settings) for model, items in lists.items()}
    comparison = _Comparison(values, _baseline(values, main_metric(settings), baseline), settings, rng)
    everybody = np.ones(len(truth.users), dtype=bool)
    blocks = comparison.blocks(METRICS, settings.cutoffs, everybody)
    for model, items in lists.items():
        shown = {f"coverage@{k}": _round(coverage(items, truth.num_items, k)) for k in settings.cutoffs}
        blocks[model] |= shown | {"by_tier": {}}
    tier, names = groups
    for code, name in enumerate(names):
        chosen = tier[truth.users] == code
        if chosen.any():
            for model, block in comparison.blocks(_A_TIER, settings.cutoffs[:1], chosen).items():
                blocks[model]["by_tier"][name] = block
    return blocks


def main_metric(settings: EvaluateSettings) -> str:
    """The figure by which models are ranked: NDCG at the first cutoff."""
    return f"{_MAIN}@{settings.cutoffs[0]}"


def tabulate(boards: Mapping[str, Mapping[str, Block]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All tasks as two long tables for plots: (task, model, metric, value, lo, hi), and that by tier."""
    overall, tiers = [], []
    for task, blocks in boards.items():
        for model, block in blocks.items():
            overall += [(task, model, *row) for row in _rows(block)]
            for tier, part in block["by_tier"].items():
                tiers += [(task, model, tier, *row) for row in _rows(part)]
    figures = ["metric", "value", "lo", "hi"]
    return (
        pd.DataFrame(overall, columns=["task", "model", *figures]),
        pd.DataFrame(tiers, columns=["task", "model", "tier", *figures]),
    )


@dataclass(frozen=True)
class _Comparison:
    """Every model's figures for the same E users: model -> metric@k -> [E]."""

    values: Mapping[str, Mapping[str, FloatArray]]
    against: str
    settings: EvaluateSettings
    rng: np.random.Generator

    def blocks(self, metrics: Sequence[str], cutoffs: Sequence[int], chosen: BoolArray) -> dict[str, Block]:
        """The figures of every model over the chosen users, all from one set of resamples."""
        wanted = [f"{metric}@{k}" for k in cutoffs for metric in metrics]
        main = main_metric(self.settings)
        columns = [
            [*(figures[name] for name in wanted), figures[main] - self.values[self.against][main]]
            for figures in self.values.values()
        ]
        stacked = np.stack([one[chosen] for column in columns for one in column], axis=1)
        found = iter(intervals(stacked, self.settings.bootstraps, self.rng))
        return {
            model: {"users": int(chosen.sum())}
            | self._block(wanted, [next(found) for _ in range(len(wanted) + 1)])
            for model in self.values
        }

    def _block(self, wanted: Sequence[str], found: Sequence[Interval]) -> Block:
        """One model's figures, and last its difference to the baseline."""
        *figures, delta = found
        block: Block = {}
        for name, one in zip(wanted, figures, strict=True):
            block |= {name: _round(one.value), f"{name}_ci": bounds(one)}
        difference = {"against": self.against, "value": _round(delta.value), "ci": bounds(delta)}
        return block | {f"delta_{main_metric(self.settings)}": difference}


def _values(items: IntArray, truth: Truth, settings: EvaluateSettings) -> dict[str, FloatArray]:
    return {
        f"{metric}@{k}": figures
        for k in settings.cutoffs
        for metric, figures in per_user(items, truth, k).items()
    }


def _baseline(values: Mapping[str, Mapping[str, FloatArray]], main: str, named: str | None) -> str:
    if named is not None and named not in values:
        raise SettingsError(
            f"params.yaml: evaluate.baseline: {named!r} was not judged; choose one of {', '.join(values)}"
        )
    single = [model for model in values if model != BLEND] or list(values)
    return named or max(single, key=lambda model: (values[model][main].mean(), model))


def _rows(block: Block) -> list[tuple[str, float, float | None, float | None]]:
    names = [name for name in block if "@" in name and isinstance(block[name], float)]
    return [(name, block[name], *block.get(f"{name}_ci", (None, None))) for name in names]


def bounds(one: Interval) -> list[float]:
    """The interval's ends, rounded as metrics.json wants them."""
    return [_round(one.low), _round(one.high)]


def _round(value: float) -> float:
    """Six digits, and no negative zero, so that equal figures are equal text."""
    return round(float(value), _DIGITS) + 0.0
