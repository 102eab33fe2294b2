"""The blend against each of its members in each tier, and what variety, trials and quotas of the policy cost."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.families.policy_stand import DRAWS, LENGTH, Stand
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

TITLE = "Policy: tiers, variety and their cost"
_MOST = 0.01
_WEIGHTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
_NOVELTIES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_TRIALS = (0.1, 0.2, 0.3)
_CAPS = (0.5, 0.3, 0.2, 0.1, 0.05)
_LEVERS: Mapping[str, Mapping[str, Any]] = {
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
    """Settings are chosen on each task's validation window; the test judges those chosen."""
    layout = Layout(Path())
    settings, log = read_settings(layout.params), read_split(layout)
    found: dict[str, Any] = {"members": {}, "curves": {}, "levers": {}, "chosen": {}, "test": {}}
    for task in log.tasks:
        found["members"][task] = _members(layout, log, task, seed)
        valid = Stand.validation(layout, settings, log, task)
        curves = {
            way: {name: valid.judge(asked, seed) for name, asked in steps.items()}
            for way, steps in _ways().items()
        }
        chosen = {way: name for way, steps in curves.items() if (name := _dearest(steps))}
        found["curves"][task], found["chosen"][task] = curves, chosen
        found["levers"][task] = {name: valid.judge(asked, seed) for name, asked in _LEVERS.items()}
        test = Stand.test(layout, log, task)
        found["test"][task] = {"as ranked": test.judge({}, seed)} | {
            f"{way} {name}": test.judge(_ways()[way][name], seed) for way, name in chosen.items()
        }
    return found


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """The verdicts, the tiers of both tasks, what was chosen on validation and what it did on the test."""
    yield from _member_lines(record["members"])
    yield (
        "\nVariety for accuracy. Each way goes as far as the upper end of its cost's 95% interval is at most 1% of "
        "NDCG@10 on the validation window; the test judges those steps alone. Diversity: share of pairs in a "
        "list that are of two categories. Coverage: of the catalogue. Divergence: KL of a list's layers from the "
        "user's own. Cost: of NDCG@10, paired over users.\n"
    )
    for task, found in record["test"].items():
        yield f"\n**{task}, test**\n"
        yield from _table(found)
        for name, one in found.items():
            if name != "as ranked":
                yield f"- {name}: {_verdict(found['as ranked'], one)}"
    for task, curves in record["curves"].items():
        yield f"\n<details><summary>{task}: the curves on validation, and single levers</summary>\n"
        steps = {f"{way} {name}": one for way, steps in curves.items() for name, one in steps.items()}
        yield from _table(record["levers"][task] | steps)
        yield "\n</details>"


def _member_lines(members: Mapping[str, Any]) -> Iterator[str]:
    for task, tiers in members.items():
        worse = [f"{tier} ({one['best']})" for tier, one in tiers.items() if one["difference"]["value"] < 0]
        said = "missed in " + ", ".join(worse) if worse else "reached"
        yield f"- the blend is never worse than its best member in any tier, {task}: {said}"
    yield (
        "\n| task | tier | users | blend | best member | blend - best member | surely better than | "
        "surely worse than |"
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
    kept = "within 1%" if one["cost"]["value"] <= _MOST else "above 1%"
    return (
        f"costs {one['cost']['value']:.2%} of NDCG@10 ({kept}) for diversity "
        f"{one['diversity'] - base['diversity']:+.4f}, coverage {one['coverage'] / base['coverage'] - 1:+.1%}, "
        f"exposure Gini {one['gini'] - base['gini']:+.4f}, "
        f"divergence {one['divergence'] / base['divergence'] - 1:+.1%}"
    )


def _interval(figure: Mapping[str, float], digits: int, unit: float = 1.0) -> str:
    value, low, high = (unit * figure[name] for name in ("value", "low", "high"))
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _ways() -> dict[str, dict[str, Mapping[str, Any]]]:
    """Each way to variety, from the mildest step on, as settings of the policy."""

    def tiers(name: str, step: float) -> dict[str, Any]:
        return {"tiers": {tier: {name: step} for tier in TIER_NAMES}}

    def rerank(kind: str, weight: float) -> dict[str, Any]:
        return {"rerank": {"kind": kind, "weight": weight}}

    alone = (("novelty", _NOVELTIES), ("exploration", _TRIALS), ("exposure_cap", _CAPS))
    return (
        {kind: {f"{one:g}": rerank(kind, one) for one in _WEIGHTS} for kind in ("mmr", "calibrated")}
        | {name: {f"{one:g}": tiers(name, one) for one in steps} for name, steps in alone}
        | {"novelty .5 and mmr": {f"{one:g}": rerank("mmr", one) | tiers("novelty", 0.5) for one in _WEIGHTS}}
    )


def _dearest(steps: Mapping[str, Any]) -> str | None:
    """The furthest step before one whose cost may be above what is allowed; None where the first is too dear."""
    chosen = None
    for name, one in steps.items():
        if one["cost"]["high"] > _MOST:
            return chosen
        chosen = name
    return chosen


def _members(layout: Layout, log: SplitLog, task: str, seed: int) -> dict[str, Any]:
    """The blend's lists on the test beside each member's, tier by tier."""
    frame = pd.read_parquet(layout.truth(task))
    truth = Truth.of(*_places(frame, log.log), log.log.num_items)
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
    user, item = _places(frame, log)
    lists[user, frame["rank"] - 1] = item
    return lists


def _places(frame: pd.DataFrame, log: Interactions) -> tuple[IntArray, IntArray]:
    """Row and column of each user_id and item_id."""
    return (
        log.users.get_indexer(pd.Index(frame["user_id"], dtype=object)),
        log.items.get_indexer(pd.Index(frame["item_id"], dtype=object)),
    )
