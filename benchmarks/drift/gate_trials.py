"""How often the gate errs, on the demo shop's own lists: it must refuse what is worse and keep what is equal.

python -m benchmarks.drift.gate_trials [SEED]. A trial is one gate: the champion is the demo's blend, the window a
random 80% of the users. Deliberately worse: lists shuffled for a share of the users; the best single model in place of
the blend; popularity for one tier; a share of the items mistaken for one another; lists of weeks before.
Equal: the same lists; two blends with different seeds; two blends from different 90% of the users.
The 50 trials that count are each kind at the strength that DELIBERATE names, fixed before the trials were run; the
table holds weaker and stronger ones too, down to what no gate should notice. A second table has fewer users.
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

from benchmarks.drift.figures import keep
from benchmarks.drift.gate_shop import CUTOFF, SEEDS, SUBSETS, Shop, ShopTask
from tierrec_core.base.contracts import FloatArray, IntArray
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
_A_CELL = 20
_WINDOW = 0.8
_FEWER = (30, 100, 300, 1000)
_LOSSES = (0.0, 0.02, 0.05, 0.1, 0.2)
_WORLDS = 400


def shuffled(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """The first 20 in any order, for a share of the users."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], rng.permuted(task.blend, axis=1), task.blend)


def single(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """The best single model's list, for a share of the users."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], task.single, task.blend)


def tier_popular(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """What is popular, for a share of the users of one tier, who may be any."""
    hit = (tier == rng.integers(len(TIER_NAMES))) & (rng.random(len(tier)) < strength)
    return np.where(hit[:, None], task.popular, task.blend)


def mistaken(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """A share of the items stands for one another: a broken mapping of ids."""
    wrong = np.flatnonzero(rng.random(task.truth.num_items) < strength)
    stands_for = np.arange(task.truth.num_items)
    stands_for[wrong] = rng.permutation(wrong)
    return np.where(task.blend >= 0, stands_for[task.blend], -1)


def stale(task: ShopTask, tier: IntArray, strength: float, rng: np.random.Generator) -> IntArray:
    """Lists of one horizon before, for a share of the users: two weeks of the first task, nine of the second."""
    hit = rng.random(len(task.blend)) < strength
    return np.where(hit[:, None], task.stale, task.blend)


_WORSEN: dict[str, Worsen] = {
    "shuffled": shuffled,
    "single": single,
    "tier popular": tier_popular,
    "mistaken items": mistaken,
    "stale": stale,
}


def gate_trials(seed: int, root: Path = Path(), tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Flat figures: gate_trials, gate_worse_rejected, gate_aa_kept, ..., and tables by kind, strength and users."""
    with threadpool_limits(1):
        shop = Shop.read(root, tell)
    worse = [_worse(shop, kind, DELIBERATE[kind], seed, place) for kind, place in _rounds(TRIALS)]
    tell("gate: 50 deliberately worse challengers judged")
    equal = list(_equal(shop, seed))
    tell("gate: 50 equal challengers judged")
    return _kept_by_kind(equal) | {
        "gate_trials": TRIALS,
        "gate_worse_rejected": _share(not one.passed for one in worse),
        "gate_aa_kept": _share(one.passed and one.verdict == "no change" for _, one in equal),
        "gate_aa_passed": _share(one.passed for _, one in equal),
        "gate_aa_by_kind": _by_kind(equal),
        "gate_rejected_by_strength": _table(shop, seed),
        "gate_rejected_by_users": _few_users(shop, seed),
    }


def gate(shop: Shop, before: Lists, after: Lists, rng: np.random.Generator) -> GateReport:
    """One trial, on a random part of the users."""
    window = rng.random(len(shop.tier)) < _WINDOW
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


def _worse(shop: Shop, kind: str, strength: float, seed: int, place: int) -> GateReport:
    rng = np.random.default_rng([seed, list(_WORSEN).index(kind), round(1000 * strength), place])
    before = {name: task.blend for name, task in shop.tasks.items()}
    after = {name: _WORSEN[kind](task, shop.tier, strength, rng) for name, task in shop.tasks.items()}
    return gate(shop, before, after, rng)


def _rounds(trials: int) -> Iterator[tuple[str, int]]:
    kinds = list(_WORSEN)
    return ((kinds[place % len(kinds)], place) for place in range(trials))


def _equal(shop: Shop, seed: int) -> Iterator[tuple[str, GateReport]]:
    """Ten with the same lists, twenty with other seeds, twenty from other users."""
    champion = {name: task.blend for name, task in shop.tasks.items()}
    fits = {
        name: {task: one.refits[name] for task, one in shop.tasks.items()}
        for name in next(iter(shop.tasks.values())).refits
    }
    seeds = list(permutations([champion, *(fits[f"seed {one}"] for one in SEEDS)], 2))
    subsets = list(permutations([fits[f"subset {one}"] for one in SUBSETS], 2))
    pairs = [("identical", (champion, champion))] * (TRIALS - 40)
    pairs += [("other seed", seeds[place % len(seeds)]) for place in range(20)]
    pairs += [("other users", subsets[place % len(subsets)]) for place in range(20)]
    for place, (kind, (before, after)) in enumerate(pairs):
        yield kind, gate(shop, before, after, np.random.default_rng([seed, 100, place]))


def _table(shop: Shop, seed: int) -> list[dict[str, Any]]:
    """For each kind and strength: what is lost of the first task's NDCG, and how often it was refused."""
    rows = []
    for kind, strengths in _STRENGTHS.items():
        for strength in strengths:
            found = [_worse(shop, kind, strength, seed + 1, place) for place in range(_A_CELL)]
            row: dict[str, Any] = {"kind": kind, "strength": strength, "trials": _A_CELL}
            for name in shop.tasks:
                values = [one.tasks[name].overall.interval.value for one in found]
                row[f"mean_{name}"] = round(float(np.mean(values)), 4)
            rows.append(row | {"rejected": _share(not one.passed for one in found)})
    return rows


def _few_users(shop: Shop, seed: int) -> list[dict[str, Any]]:
    """Refused of challengers that lose a known share of the champion's NDCG, by how many users there are.

    Differences are those of the best single model to the blend with random signs, so that nothing is lost on average,
    less the loss. Each trial draws its users with replacement, so that these are worlds of their own.
    """
    values = {
        name: (task.ndcg(task.blend), task.ndcg(task.single), shop.tier[task.truth.users])
        for name, task in shop.tasks.items()
    }
    settings = shop.settings.gate.model_copy(update={"bootstraps": 200})
    rows = []
    for users in _FEWER:
        for loss in _LOSSES:
            rng = np.random.default_rng([seed, users, round(100 * loss)])
            refused = [not _small(values, users, loss, settings, rng).passed for _ in range(_WORLDS)]
            rows.append({"users": users, "lost": loss, "trials": _WORLDS, "rejected": _share(refused)})
    return rows


def _small(
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
    """Share of each kind of equal challengers that were kept as no change; models of other users are nearly equal."""
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
    found = gate_trials(seed, tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2))
    keep({name: value for name, value in found.items() if isinstance(value, float | int)})


if __name__ == "__main__":
    main()
