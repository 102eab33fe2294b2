"""The multi-task family: a purchase in a category within 28 days, and one with a coupon, on the demo shop.

Networks and trees are trained on five windows of labels before the test, and evaluated on two after it.
Baselines are a network for each task, and the decomposed product P(purchase) * P(coupon | purchase) of two models.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from benchmarks.families.multitask.evaluator import Evaluator, TaskFigures, differences
from benchmarks.families.multitask.learners import Design, average_logits, predict_network, predict_trees
from benchmarks.families.multitask.pairs import HORIZON, Categories, Table
from benchmarks.families.multitask.task_gate import gate_tasks
from tierrec_core.base.contracts import FloatArray
from tierrec_core.models.multitask.mixture_of_experts import TaskNetworkConfig

TITLE = "Multi-task models: a purchase in a category, and one with a coupon"

SEEDS = 5
TASKS = ("purchase", "coupon")
SINGLE, DECOMPOSED = "one network a task", "decomposed networks"
TREES, TREES_DECOMPOSED = "trees, one a task", "decomposed trees"
STACK_DECOMPOSED = "decomposed networks and trees"
CHOSEN = "PLE"
OURS = f"{CHOSEN} and trees over all pairs"
ALL_THREE = f"{OURS}, and decomposed trees"

_WIDTH, _EXPERTS = 32, 4
_SINGLE = TaskNetworkConfig(structure="single", hidden_size=_WIDTH, dropout=0.0)
_SHAPES = {
    "shared bottom": _SINGLE.model_copy(update={"structure": "shared_bottom"}),
    "MMoE": _SINGLE.model_copy(update={"structure": "mmoe", "experts": _EXPERTS}),
    "PLE": _SINGLE.model_copy(update={"structure": "ple", "experts": 2, "own_experts": 1, "levels": 3}),
}
_DESIGNS = (
    {SINGLE: Design(_SINGLE, "independent"), DECOMPOSED: Design(_SINGLE, "conditional")}
    | {name: Design(shape) for name, shape in _SHAPES.items()}
    | {f"{name}, uncertainty": Design(shape, weighting="uncertainty") for name, shape in _SHAPES.items()}
)
_TRAIN_WINDOWS, _TEST_WINDOWS = 5, 2
_TREE_SEEDS = 3
_KEPT = 0.3
_DRAWS = 500

Chances = dict[str, list[FloatArray]]


def measure(seed: int) -> dict[str, Any]:
    """Every model's AUC and calibration error on both tasks, the gate's verdicts, and paired differences."""
    shop, rng = Categories.read(), np.random.default_rng(seed)
    cuts = shop.bound - HORIZON * np.arange(1, _TRAIN_WINDOWS + 1)
    train = Table.joined([Table.of(shop, cut).thinned(_KEPT, rng) for cut in cuts])
    test = Table.joined([Table.of(shop, shop.bound + HORIZON * one) for one in range(_TEST_WINDOWS)])
    chances = _chances(train, test, seed)
    evaluated: dict[str, dict[str, TaskFigures]] = {}
    for task, label in zip(TASKS, (test.bought, test.coupon), strict=True):
        evaluator = Evaluator.of(label, test.user, _DRAWS, seed)
        evaluated[task] = {name: evaluator(seeds) for name, seeds in chances[task].items()}
    ours = [OURS, ALL_THREE, f"{CHOSEN}, seeds averaged"]
    bars = [TREES_DECOMPOSED, f"{DECOMPOSED}, seeds averaged", STACK_DECOMPOSED]
    return {
        "pairs": {
            "train": len(train.user),
            "test": len(test.user),
            "purchase": round(float(test.bought.mean()), 5),
            "coupon": round(float(test.coupon.mean()), 5),
            "coupons": int(test.coupon.sum()),
        },
        "models": {task: {name: one.report() for name, one in found.items()} for task, found in evaluated.items()},
        "gate": {name: _gate(evaluated, name) for name in _DESIGNS if name not in (SINGLE, DECOMPOSED)},
        "ahead": {one: differences(evaluated["coupon"], one, bars) for one in ours},
    }


def _chances(train: Table, test: Table, seed: int) -> dict[str, Chances]:
    """Probabilities of the test pairs, by task and model, a list of seeds each."""
    found: dict[str, Chances] = {task: {} for task in TASKS}
    for name, design in _DESIGNS.items():
        fits = [predict_network(train, test, design, seed + one) for one in range(SEEDS)]
        for column, task in enumerate(TASKS):
            found[task][name] = [one[:, column] for one in fits]
    trees = [predict_trees(train, test, seed + one) for one in range(_TREE_SEEDS)]
    found["purchase"][TREES] = [average_logits([one.purchase for one in trees])]
    coupon = found["coupon"]
    coupon[TREES] = [average_logits([one.coupon for one in trees])]
    coupon[TREES_DECOMPOSED] = [average_logits([one.decomposed for one in trees])]
    for name in (CHOSEN, DECOMPOSED):
        coupon[f"{name}, seeds averaged"] = [average_logits(coupon[name])]
    coupon[STACK_DECOMPOSED] = [average_logits([average_logits(coupon[DECOMPOSED]), coupon[TREES_DECOMPOSED][0]])]
    both = [average_logits(coupon[CHOSEN]), coupon[TREES][0]]
    coupon[OURS] = [average_logits(both)]
    coupon[ALL_THREE] = [average_logits([*both, coupon[TREES_DECOMPOSED][0]])]
    return found


def _gate(evaluated: Mapping[str, Mapping[str, TaskFigures]], name: str) -> dict[str, Any]:
    """Gate this network against the single-task ones."""
    multi, single = (
        {task: np.array(found[which].by_seed) for task, found in evaluated.items()} for which in (name, SINGLE)
    )
    return gate_tasks(multi, single).report()


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Protocol, both tasks' tables, the gate, and the comparison with the decomposed product."""
    pairs = record["pairs"]
    yield (
        f"Pairs of a household and one of 128 categories, features as of a cut, labels of the 28 days after it: "
        f"{pairs['train']:,} training pairs of {_TRAIN_WINDOWS} windows before the test, {pairs['test']:,} of "
        f"{_TEST_WINDOWS} test windows, {pairs['purchase']:.1%} with a purchase and {pairs['coupon']:.2%} "
        f"({pairs['coupons']:,}) with a coupon. Networks: mean of {SEEDS} seeds, the second task as a product over all "
        f"pairs (ESMM), but for the two baselines. Trees: {_TREE_SEEDS} seeds averaged. Intervals: 95% over households."
    )
    for task in TASKS:
        yield f"\n| {task} | AUC | interval | sd of seeds | calibration error | interval | gate |"
        yield "|---|---|---|---|---|---|---|"
        for name, one in record["models"][task].items():
            yield _row(name, one, record["gate"].get(name, {}).get("tasks", {}).get(task))
    yield "\n| ahead on coupon | of | AUC | interval |\n|---|---|---|---|"
    for ours, found in record["ahead"].items():
        for other, one in found.items():
            yield f"| {ours} | {other} | {one['value']:+.4f} | {_interval(one['ci'], '+.4f')} |"
    yield "\n" + " ".join(_verdict(record))


def _row(name: str, one: Mapping[str, Any], gate: Mapping[str, Any] | None) -> str:
    seeds = f"{np.std(one['auc_by_seed'], ddof=1):.4f}" if len(one["auc_by_seed"]) > 1 else ""
    passed = "" if gate is None else f"{'passes' if gate['passed'] else 'fails'} ({gate['gain']:+.4f})"
    return (
        f"| {name} | {one['auc']:.4f} | {_interval(one['auc_ci'], '.4f')} | {seeds} | {one['ece']:.5f} "
        f"| {_interval(one['ece_ci'], '.5f')} | {passed} |"
    )


def _interval(bounds: list[float], how: str) -> str:
    return f"{bounds[0]:{how}} to {bounds[1]:{how}}"


def _verdict(record: Mapping[str, Any]) -> Iterator[str]:
    """The target in plain words, against the decomposed product of networks, of trees, and of both together."""
    like_for_like = f"{CHOSEN}, seeds averaged", f"{DECOMPOSED}, seeds averaged"
    blends = product((OURS, ALL_THREE), (TREES_DECOMPOSED, STACK_DECOMPOSED))
    for ours, bar in (like_for_like, *blends):
        one = record["ahead"][ours][bar]
        low, high = one["ci"]
        told = "reached" if low > 0 else "missed" if high < 0 else "not shown"
        yield f"Target, {ours} above {bar} on the rare task: {told} ({one['value']:+.4f})."
    failed = [name for name, one in record["gate"].items() if not one["passed"]]
    yield f"The gate refuses {', '.join(failed)}." if failed else "The gate passes every network."
