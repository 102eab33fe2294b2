"""The blend against its members by tier, and the accuracy cost of the policy's diversity, exploration and quotas."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.families.policy_trials import DRAWS, LENGTH, PolicyTrials
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.bootstrap import bootstrap_by_group
from tierrec_core.evaluation.leaderboard import BLEND
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.settings import read_settings
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import TIER_NAMES, Tiering

TITLE = "Policy: tiers, diversity and its cost"
_MAX_COST = 0.01  # of NDCG@10
_WEIGHTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
_NOVELTIES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_EXPLORATIONS = (0.1, 0.2, 0.3)
_CAPS = (0.5, 0.3, 0.2, 0.1, 0.05)
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "as ranked": {},
    "light: repeat_slots .7": {"tiers": {"light": {"repeat_slots": 0.7}}},
    "light: exploration .1": {"tiers": {"light": {"exploration": 0.1}}},
    "light: quality_floor .25": {"tiers": {"light": {"quality_floor": 0.25}}},
    "light: quality_floor .5": {"tiers": {"light": {"quality_floor": 0.5}}},
    "light: exposure_cap .2": {"tiers": {"light": {"exposure_cap": 0.2}}},
    "max_per_category 2": {"max_per_category": 2},
    "max_per_category 1": {"max_per_category": 1},
}


def measure(seed: int) -> dict[str, Any]:
    """Choose settings on each task's validation window, and evaluate the chosen ones on the test."""
    layout = Layout(Path())
    settings, log = read_settings(layout.params), read_split(layout)
    found: dict[str, Any] = {"members": {}, "curves": {}, "levers": {}, "chosen": {}, "test": {}}
    for task in log.tasks:
        found["members"][task] = _members(layout, log, task, seed)
        valid = PolicyTrials.validation(layout, settings, log, task)
        curves = {
            way: {name: valid.evaluate(asked, seed) for name, asked in steps.items()}
            for way, steps in _methods().items()
        }
        chosen = {way: name for way, steps in curves.items() if (name := _strongest(steps))}
        found["curves"][task], found["chosen"][task] = curves, chosen
        found["levers"][task] = {name: valid.evaluate(asked, seed) for name, asked in _SETTINGS.items()}
        test = PolicyTrials.test(layout, log, task)
        found["test"][task] = {"as ranked": test.evaluate({}, seed)} | {
            f"{way} {name}": test.evaluate(_methods()[way][name], seed) for way, name in chosen.items()
        }
    return found


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Targets, both tasks by tier, the settings chosen on validation and their test figures."""
    yield from _member_lines(record["members"])
    yield (
        "\nDiversity against accuracy. Of each method the strongest setting is chosen whose cost is at most 1% of "
        "NDCG@10 on the validation window by the upper end of its 95% interval; only these are evaluated on the test. "
        "Diversity: share of item pairs in a list from two categories. Coverage: of the catalogue. Divergence: KL of "
        "a list's layers from the user's own. Cost: of NDCG@10, paired over users.\n"
    )
    for task, found in record["test"].items():
        yield f"\n**{task}, test**\n"
        yield from _table(found)
        for name, one in found.items():
            if name != "as ranked":
                yield f"- {name}: {_verdict(found['as ranked'], one)}"
    for task, curves in record["curves"].items():
        yield f"\n<details><summary>{task}: curves on validation, and single settings</summary>\n"
        steps = {f"{way} {name}": one for way, steps in curves.items() for name, one in steps.items()}
        yield from _table(record["levers"][task] | steps)
        yield "\n</details>"


def _member_lines(members: Mapping[str, Any]) -> Iterator[str]:
    for task, tiers in members.items():
        worse = [f"{tier} ({one['best']})" for tier, one in tiers.items() if one["difference"]["value"] < 0]
        said = "missed in " + ", ".join(worse) if worse else "reached"
        yield f"- the blend is never worse than its best member in any tier, {task}: {said}"
    yield (
        "\n| task | tier | users | blend | best member | blend - best member | significantly better than | "
        "significantly worse than |"
    )
    yield "|---" * 8 + "|"
    for task, tiers in members.items():
        for tier, one in tiers.items():
            sure = {
                sign: [name for name, gap in one["all"].items() if gap[end] * way > 0]
                for sign, end, way in (("better", "low", 1), ("worse", "high", -1))
            }
            yield (
                f"| {task} | {tier} | {one['users']} | {one['blend']:.4f} | {one['best']} {one['member']:.4f} | "
                f"{_interval(one['difference'], 4)} | {len(sure['better'])} of {len(one['all'])} | "
                f"{', '.join(sure['worse']) or 'none'} |"
            )


def _table(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| lists | NDCG@10 | cost | diversity | coverage | exposure Gini | divergence | popularity bias |"
    yield "|---" * 8 + "|"
    for name, one in found.items():
        yield (
            f"| {name} | {one['ndcg']:.4f} | {_interval(one['cost'], 2, 100)}% | {one['diversity']:.4f} | "
            f"{one['coverage']:.4f} | {one['gini']:.4f} | {one['divergence']:.4f} | {one['bias']:.4f} |"
        )


def _verdict(base: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    kept = "within 1%" if one["cost"]["value"] <= _MAX_COST else "above 1%"
    return (
        f"costs {one['cost']['value']:.2%} of NDCG@10 ({kept}) for diversity "
        f"{one['diversity'] - base['diversity']:+.4f}, coverage {one['coverage'] / base['coverage'] - 1:+.1%}, "
        f"exposure Gini {one['gini'] - base['gini']:+.4f}, "
        f"divergence {one['divergence'] / base['divergence'] - 1:+.1%}"
    )


def _interval(figure: Mapping[str, float], digits: int, unit: float = 1.0) -> str:
    value, low, high = (unit * figure[name] for name in ("value", "low", "high"))
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _methods() -> dict[str, dict[str, Mapping[str, Any]]]:
    """Methods for diversity with settings of increasing strength."""

    def tiers(name: str, step: float) -> dict[str, Any]:
        return {"tiers": {tier: {name: step} for tier in TIER_NAMES}}

    def rerank(kind: str, weight: float) -> dict[str, Any]:
        return {"rerank": {"kind": kind, "weight": weight}}

    alone = (("novelty", _NOVELTIES), ("exploration", _EXPLORATIONS), ("exposure_cap", _CAPS))
    return (
        {kind: {f"{one:g}": rerank(kind, one) for one in _WEIGHTS} for kind in ("mmr", "calibrated")}
        | {name: {f"{one:g}": tiers(name, one) for one in steps} for name, steps in alone}
        | {"novelty .5 and mmr": {f"{one:g}": rerank("mmr", one) | tiers("novelty", 0.5) for one in _WEIGHTS}}
    )


def _strongest(steps: Mapping[str, Any]) -> str | None:
    """The strongest setting before one whose cost may exceed the limit; None where the first does."""
    chosen = None
    for name, one in steps.items():
        if one["cost"]["high"] > _MAX_COST:
            return chosen
        chosen = name
    return chosen


def _members(layout: Layout, log: SplitLog, task: str, seed: int) -> dict[str, Any]:
    """The blend against each member on the test, by tier."""
    frame = pd.read_parquet(layout.truth(task))
    truth = Truth.of(*_rows_and_columns(frame, log.log), log.log.num_items)
    values = {
        path.stem: per_user(_read_lists(path, log.log), truth, LENGTH)["ndcg"]
        for path in sorted(layout.lists(task, "").parent.glob("*.parquet"))
    }
    tier = artifacts.load(Tiering, layout.tiering(log.final.name)).tier[truth.users]
    rng = np.random.default_rng(seed)
    gaps = {
        name: bootstrap_by_group(values[BLEND] - one, tier, TIER_NAMES, DRAWS, rng)
        for name, one in values.items()
        if name != BLEND
    }
    found = {}
    for code, name in enumerate(TIER_NAMES):
        chosen = tier == code
        means = {model: float(one[chosen].mean()) for model, one in values.items() if model != BLEND}
        best = max(means, key=lambda model: means[model])
        found[name] = {
            "users": int(chosen.sum()),
            "blend": float(values[BLEND][chosen].mean()),
            "best": best,
            "member": means[best],
            "difference": vars(gaps[best][name]),
            "all": {model: vars(gap[name]) for model, gap in gaps.items()},
        }
    return found


def _read_lists(path: Path, log: Interactions) -> IntArray:
    frame = pd.read_parquet(path)
    lists = np.full((log.num_users, int(frame["rank"].max())), -1)
    user, item = _rows_and_columns(frame, log)
    lists[user, frame["rank"] - 1] = item
    return lists


def _rows_and_columns(frame: pd.DataFrame, log: Interactions) -> tuple[IntArray, IntArray]:
    """Row and column of each user_id and item_id of a frame."""
    return (
        log.users.get_indexer(pd.Index(frame["user_id"], dtype=object)),
        log.items.get_indexer(pd.Index(frame["item_id"], dtype=object)),
    )
