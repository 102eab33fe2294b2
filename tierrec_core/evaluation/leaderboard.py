"""The leaderboard of one task: every model's metrics, intervals, and paired difference to a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.bootstrap import bootstrap_means, round_figure
from tierrec_core.evaluation.metrics import METRICS, Truth, coverage, per_user
from tierrec_core.evaluation.small_groups import disclosed_groups
from tierrec_core.settings import EvaluateSettings

BLEND = "blend"
_MAIN = "ndcg"
_TIER_METRICS = ("ndcg", "recall")

Block = dict[str, Any]


def evaluate_models(
    lists: Mapping[str, IntArray],
    truth: Truth,
    groups: tuple[IntArray, Sequence[str]],
    settings: EvaluateSettings,
    rng: np.random.Generator,
    baseline: str | None = None,
) -> dict[str, Block]:
    """Evaluate the lists [U, L] of each model on one truth: model -> its block of metrics.json.

    groups: tier of each user, [U], as an index into the names; those of few users are left out (min_group_users)
    baseline: the model that differences are taken to; by default, or where that scores 0, the best single model on this
    truth, which favours the baseline. Raises SettingsError when it is not among the models.
    """
    values = {
        model: {
            f"{metric}@{k}": figures for k in settings.cutoffs for metric, figures in per_user(items, truth, k).items()
        }
        for model, items in lists.items()
    }
    comparison = _Comparison(values, _baseline(values, main_metric(settings), baseline), settings, rng)
    blocks = comparison.blocks(METRICS, settings.cutoffs, np.ones(len(truth.users), dtype=bool))
    for model, items in lists.items():
        coverages = {f"coverage@{k}": round_figure(coverage(items, truth.num_items, k)) for k in settings.cutoffs}
        blocks[model] |= coverages | {"by_tier": {}}
    names, tier = groups[1], groups[0][truth.users]
    shown = disclosed_groups(np.bincount(tier, minlength=len(names)), settings.min_group_users)
    for code, name in enumerate(names):
        members = tier == code
        if shown[code]:
            for model, block in comparison.blocks(_TIER_METRICS, settings.cutoffs[:1], members).items():
                blocks[model]["by_tier"][name] = block
    return blocks


def main_metric(settings: EvaluateSettings) -> str:
    """The metric that ranks models: NDCG at the first cutoff."""
    return f"{_MAIN}@{settings.cutoffs[0]}"


def tabulate(boards: Mapping[str, Mapping[str, Block]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All tasks as two long tables for plots: (task, model, metric, value, lo, hi), and the same by tier."""
    overall, tiers = [], []
    for task, blocks in boards.items():
        for model, block in blocks.items():
            overall += [(task, model, *row) for row in _rows(block)]
            for tier, tier_block in block["by_tier"].items():
                tiers += [(task, model, tier, *row) for row in _rows(tier_block)]
    figures = ["metric", "value", "lo", "hi"]
    return (
        pd.DataFrame(overall, columns=["task", "model", *figures]),
        pd.DataFrame(tiers, columns=["task", "model", "tier", *figures]),
    )


@dataclass(frozen=True)
class _Comparison:
    """Every model's metrics for the same E users: model -> metric@k -> [E]."""

    values: Mapping[str, Mapping[str, FloatArray]]
    against: str
    settings: EvaluateSettings
    rng: np.random.Generator

    def blocks(self, metrics: Sequence[str], cutoffs: Sequence[int], members: BoolArray) -> dict[str, Block]:
        """The block of every model over these users, all from one set of resamples."""
        names = [f"{metric}@{k}" for k in cutoffs for metric in metrics]
        main = main_metric(self.settings)
        columns = [
            column[members]
            for figures in self.values.values()
            for column in (*(figures[name] for name in names), figures[main] - self.values[self.against][main])
        ]
        intervals = iter(bootstrap_means(np.stack(columns, axis=1), self.settings.bootstraps, self.rng))
        blocks: dict[str, Block] = {model: {"users": int(members.sum())} for model in self.values}
        for block in blocks.values():
            for name in names:
                block.update(next(intervals).report(name))
            block[f"delta_{main}"] = next(intervals).report_delta(self.against)
        return blocks


def _baseline(values: Mapping[str, Mapping[str, FloatArray]], main: str, configured: str | None) -> str:
    if configured is not None and configured not in values:
        raise SettingsError(
            f"params.yaml: evaluate.baseline: {configured!r} was not evaluated; choose one of {', '.join(values)}"
        )
    single = [model for model in values if model != BLEND] or list(values)
    best = max(single, key=lambda model: (values[model][main].mean(), model))
    return configured if configured is not None and values[configured][main].any() else best


def _rows(block: Block) -> list[tuple[str, float, float | None, float | None]]:
    names = [name for name in block if "@" in name and isinstance(block[name], float)]
    return [(name, block[name], *block.get(f"{name}_ci", (None, None))) for name in names]
