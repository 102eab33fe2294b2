"""Error rates of the promotion gate: it must reject worse challengers and report no change for equal ones.

python -m benchmarks.drift.gate_trials [SEED], on a finished run of the demo. A trial is one gate with the demo's blend
as the champion, on a random 80% of the users.
Worse: lists shuffled for a share of the users; the best single model instead of the blend; popularity for one tier; a
share of the item ids permuted; lists of weeks before.
Equal: the same lists; two blends with different seeds; two blends fitted to different 90% of the users.
The 50 trials of the headline are at the strengths in DELIBERATE, fixed before the trials were run; the table has
weaker and stronger ones as well. A second table has fewer users.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.drift.gate_lists import CUTOFF, SEEDS, SUBSETS, Shop, ShopTask
from benchmarks.drift.results_file import merge_figures
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import ArtifactError
from tierrec_core.evaluation.metrics import coverage
from tierrec_core.evaluation.promotion_gate import GateReport, GateSide, Scores, check_promotion
from tierrec_core.settings import GateSettings
from tierrec_core.tiers import TIER_NAMES

Lists = Mapping[str, IntArray]
Worsen = Callable[[ShopTask, IntArray, float, np.random.Generator], IntArray]

TRIALS = 50
DELIBERATE = {"shuffled": 0.5, "single": 1.0, "tier popular": 1.0, "mistaken items": 0.2, "stale": 1.0}
_STRENGTHS = {
    "shuffled": (0.02, 0.1, 0.25, 0.5, 1.0),
    "single": (0.25, 0.5, 1.0),
    "tier popular": (0.1, 0.25, 0.5, 1.0),
    "mistaken items": (0.01, 0.05, 0.2, 1.0),
    "stale": (0.25, 0.5, 1.0),
}
_TRIALS_PER_CELL = 20
_WINDOW_SHARE = 0.8
_FEWER_USERS = (30, 100, 300, 1000)
_LOSSES = (0.0, 0.02, 0.05, 0.1, 0.2)
_SMALL_TRIALS = 400


def shuffled(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Shuffle the first 20 for a share of the users."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], rng.permuted(task.blend, axis=1), task.blend)


def single(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Show the best single model's list to a share of the users."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], task.single, task.blend)


def tier_popular(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Show popular items to a share of the users of one random tier."""
    hit = (tier == rng.integers(len(TIER_NAMES))) & (rng.random(len(tier)) < strength)
    return np.where(hit[:, None], task.popular, task.blend)


def permuted_ids(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Permute a share of the item ids, as a broken mapping does."""
    wrong = np.flatnonzero(rng.random(task.truth.num_items) < strength)
    permuted = np.arange(task.truth.num_items)
    permuted[wrong] = rng.permutation(wrong)
    return np.where(task.blend >= 0, permuted[task.blend], -1)


def stale(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Show lists of one horizon before (two weeks, or nine for the second task) to a share of the users."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], task.stale, task.blend)


_WORSEN: dict[str, Worsen] = {
    "shuffled": shuffled,
    "single": single,
    "tier popular": tier_popular,
    "mistaken items": permuted_ids,
    "stale": stale,
}


def gate_trials(seed: int, root: Path = Path(), report: Callable[[str], None] = print) -> dict[str, Any]:
    """Flat figures: gate_trials, gate_worse_rejected, gate_aa_kept, ..., and tables by kind, strength and users."""
    with threadpool_limits(1):
        shop = Shop.read(root, report)
    worse = [_worse_trial(shop, kind, DELIBERATE[kind], seed, index) for kind, index in _rounds(TRIALS)]
    report("gate: 50 deliberately worse challengers judged")
    equal = list(_equal_trials(shop, seed))
    report("gate: 50 equal challengers judged")
    return _kept_by_kind(equal) | {
        "gate_trials": TRIALS,
        "gate_worse_rejected": _share(not one.passed for one in worse),
        "gate_aa_kept": _share(one.passed and one.verdict == "no change" for _, one in equal),
        "gate_aa_passed": _share(one.passed for _, one in equal),
        "gate_aa_by_kind": _by_kind(equal),
        "gate_rejected_by_strength": _rejected_by_strength(shop, seed),
        "gate_rejected_by_users": _rejected_by_users(shop, seed),
    }


def run_gate(shop: Shop, before: Lists, after: Lists, rng: np.random.Generator) -> GateReport:
    """Run one gate on a random part of the users."""
    window = rng.random(len(shop.tier)) < _WINDOW_SHARE
    tasks = {}
    for name, task in shop.tasks.items():
        inside = window[task.truth.users]
        old, new = (task.ndcg(lists[name])[inside] for lists in (before, after))
        tasks[name] = Scores(old, new, shop.tier[task.truth.users][inside])
    sides = (
        GateSide({name: _shown(task, lists[name][window]) for name, task in shop.tasks.items()})
        for lists in (before, after)
    )
    return check_promotion(tasks, *sides, shop.settings.gate, rng, metric=f"NDCG@{CUTOFF}")


def _shown(task: ShopTask, lists: IntArray) -> float:
    return coverage(lists, task.truth.num_items, CUTOFF)


def _worse_trial(shop: Shop, kind: str, strength: float, seed: int, index: int) -> GateReport:
    rng = np.random.default_rng([seed, list(_WORSEN).index(kind), round(1000 * strength), index])
    before = {name: task.blend for name, task in shop.tasks.items()}
    after = {name: _WORSEN[kind](task, shop.tier, strength, rng) for name, task in shop.tasks.items()}
    return run_gate(shop, before, after, rng)


def _rounds(trials: int) -> Iterator[tuple[str, int]]:
    kinds = list(_WORSEN)
    return ((kinds[index % len(kinds)], index) for index in range(trials))


def _equal_trials(shop: Shop, seed: int) -> Iterator[tuple[str, GateReport]]:
    """Ten trials with the same lists, twenty with other seeds, twenty with models of other users."""
    champion = {name: task.blend for name, task in shop.tasks.items()}
    fits = {
        name: {task: one.refits[name] for task, one in shop.tasks.items()}
        for name in next(iter(shop.tasks.values())).refits
    }
    seeds = list(permutations([champion, *(fits[f"seed {one}"] for one in SEEDS)], 2))
    subsets = list(permutations([fits[f"subset {one}"] for one in SUBSETS], 2))
    pairs = [("identical", (champion, champion))] * (TRIALS - 40)
    pairs += [("other seed", seeds[index % len(seeds)]) for index in range(20)]
    pairs += [("other users", subsets[index % len(subsets)]) for index in range(20)]
    for index, (kind, (before, after)) in enumerate(pairs):
        yield kind, run_gate(shop, before, after, np.random.default_rng([seed, 100, index]))


def _rejected_by_strength(shop: Shop, seed: int) -> list[dict[str, Any]]:
    """For each kind and strength: mean change of each task's NDCG, and the share rejected."""
    rows = []
    for kind, strengths in _STRENGTHS.items():
        for strength in strengths:
            found = [_worse_trial(shop, kind, strength, seed + 1, index) for index in range(_TRIALS_PER_CELL)]
            row: dict[str, Any] = {"kind": kind, "strength": strength, "trials": _TRIALS_PER_CELL}
            for name in shop.tasks:
                values = [one.tasks[name].overall.interval.value for one in found]
                row[f"mean_{name}"] = round(float(np.mean(values)), 4)
            rows.append(row | {"rejected": _share(not one.passed for one in found)})
    return rows


def _rejected_by_users(shop: Shop, seed: int) -> list[dict[str, Any]]:
    """Share rejected of challengers that lose a known share of the champion's NDCG, by number of users.

    Differences are those of the best single model to the blend with random signs, which have mean 0, less the loss.
    Each trial draws its users with replacement.
    """
    values = {
        name: (task.ndcg(task.blend), task.ndcg(task.single), shop.tier[task.truth.users])
        for name, task in shop.tasks.items()
    }
    settings = shop.settings.gate.model_copy(update={"bootstraps": 200})
    rows = []
    for users in _FEWER_USERS:
        for loss in _LOSSES:
            rng = np.random.default_rng([seed, users, round(100 * loss)])
            rejected = [not _resampled_gate(values, users, loss, settings, rng).passed for _ in range(_SMALL_TRIALS)]
            rows.append({"users": users, "lost": loss, "trials": _SMALL_TRIALS, "rejected": _share(rejected)})
    return rows


def _resampled_gate(
    values: Mapping[str, tuple[FloatArray, FloatArray, IntArray]],
    users: int,
    loss: float,
    settings: GateSettings,
    rng: np.random.Generator,
) -> GateReport:
    tasks = {}
    for name, (blend, other, tier) in values.items():
        drawn = rng.integers(len(blend), size=users)
        moved = rng.choice([-1.0, 1.0], users) * (other - blend)[drawn] - loss * blend[drawn]
        tasks[name] = Scores(blend[drawn], blend[drawn] + moved, tier[drawn])
    return check_promotion(tasks, GateSide({}), GateSide({}), settings, rng)


def _by_kind(found: list[tuple[str, GateReport]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind, one in found:
        counts[kind][one.verdict] += 1
    return {kind: dict(verdicts) for kind, verdicts in counts.items()}


def _kept_by_kind(found: list[tuple[str, GateReport]]) -> dict[str, Any]:
    """Share of each kind of equal challengers with verdict `no change`; models of other users are only nearly equal."""
    return {
        f"gate_aa_kept_{kind.replace(' ', '_')}": _share(
            one.passed and one.verdict == "no change" for other, one in found if other == kind
        )
        for kind in dict.fromkeys(kind for kind, _ in found)
    }


def _share(flags: Any) -> float:
    return round(float(np.mean(list(flags))), 4)


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    try:
        found = gate_trials(seed, report=lambda line: print(line, file=sys.stderr, flush=True))
    except ArtifactError as error:
        sys.exit(f"error: the gate's trials need the demo's finished run, `tierrec run`: {error}")
    print(json.dumps(found, indent=2))
    merge_figures({name: value for name, value in found.items() if isinstance(value, float | int)})


if __name__ == "__main__":
    main()
