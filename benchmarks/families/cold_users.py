"""Users whom no model has met, known by none, one, three or five of their last items: what they take next."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np

from benchmarks.families import few_shot
from benchmarks.families.cold_shop import TASK, ColdShop, Models, as_visits, shown
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import episodes, popularity
from tierrec_core.evaluation.bootstrap import bootstrap_mean, paired_bootstrap
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import top_k
from tierrec_core.models import registry
from tierrec_core.models.popularity import Popularity
from tierrec_core.models.set_encoder import SetEncoder
from tierrec_core.protocols.model import Retriever, Training

TITLE = "Cold users"
SUPPORTS, CUTOFF, DRAWS = (0, 1, 3, 5), 10, 2000
JUDGED = (0, 2)  # fifths of the users; options were chosen on fifth 1
SHIPPED, BEFORE, FLOOR = "shipped path", "blend of warm lessons alone", "popularity"
_WHAT = {
    FLOOR: "what others took in the last 14 days",
    "tier_prior": "popularity of the tier",
    "als": "plain fold-in",
    "cold_start": "fold-in with a learned prior for each tier",
    "joint": "joint training, the newcomer fine-tuned",
    "reptile": "Reptile over users",
    "anil": "ANIL over users",
    "set_encoder": "Deep Sets encoder of the support",
    "own items": "the support itself, then popularity",
    BEFORE: "lessons of whole histories",
    SHIPPED: "popularity at k = 0, else the blend with lessons of newcomers",
}


def measure(seed: int) -> dict[str, Any]:
    """NDCG of every method for each number of supports, over the users of all folds."""
    parts: dict[int, list[dict[str, FloatArray]]] = {count: [] for count in SUPPORTS}
    for fold in JUDGED:
        shop = ColdShop.read(fold)
        training = shop.training(shop.known.final.name)
        methods = shop.final | _learners(training, seed)
        warm, new = shop.taught
        before, after = shop.bundle(warm), shop.bundle(warm + new)
        window = shop.held.of(TASK, "test")[0]
        for count in SUPPORTS:
            support, truth = shown(shop.held, window, count)
            right = Truth.of(*truth, support.num_items)
            lists = _of_retrievers(methods, support)
            lists["own items"] = _own_first(shop.final, support)
            lists[BEFORE] = _answered(before, support)
            lists[SHIPPED] = _answered(after, support) if count else lists[FLOOR]
            parts[count].append(
                {name: per_user(items, right, CUTOFF)["ndcg"] for name, items in lists.items()}
            )
            print(f"cold_users: fold {fold}, k = {count} judged", flush=True)
    values = {count: _joined(found) for count, found in parts.items()}
    return {
        "users": len(values[0][FLOOR]),
        "supports": {str(k): _compared(one, seed) for k, one in values.items()},
    }


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Every method at every number of supports, what the shipped path gains, and the verdict."""
    supports = record["supports"]
    yield (
        f"Complete Journey; two fifths of the users, one after the other, are held out whole; {record['users']} of\n"
        "them took something in the test's 14 days. Each is known by their last k items before the cut; the truth is\n"
        f"all that they take next, repeats included. NDCG@{CUTOFF}, and below it how far the shipped path lies above\n"
        "the method, paired, with 95% bootstrap intervals over users. Options were chosen on another fifth of the\n"
        "users, in the window before the test.\n"
    )
    yield "| method | " + " | ".join(f"k = {count}" for count in supports) + " |"
    yield "|---" * (len(supports) + 1) + "|"
    order = sorted(supports["3"], key=lambda name: -supports["3"][name]["ndcg"]["value"])
    for name in order:
        about = f" ({_WHAT[name]})" if name in _WHAT else ""
        yield f"| {name}{about} | " + " | ".join(_cell(one[name]) for one in supports.values()) + " |"
    yield ""
    yield from _verdicts(supports)


def _learners(training: Training, seed: int) -> Models:
    """What is no part of the demo: neighbours, linear autoencoder, set encoder and few-shot learners."""
    found = {}
    for name in ("item_knn", "linear_autoencoder", "set_encoder"):
        kind, config = registry.configure(name, {})
        found[name] = kind.fit(training, config)
    options = SetEncoder.Config()
    parts = episodes(
        training.history, training.target, options.episodes, options.horizon_days, options.window_days
    )
    start = popularity(training.history, training.target, options.window_days)
    few = {"joint": few_shot.joint, "anil": few_shot.anil, "reptile": few_shot.reptiled}
    return found | {name: learn(parts, start, seed) for name, learn in few.items()}


def _of_retrievers(methods: Models, support: Interactions) -> dict[str, IntArray]:
    return {
        name: top_k(cast("Retriever", model).score_catalogue(support), CUTOFF).items
        for name, model in methods.items()
        if hasattr(model, "score_catalogue")
    }


def _own_first(models: Models, support: Interactions) -> IntArray:
    """The support itself, the more popular first, and then what is popular."""
    found = next(model for model in models.values() if isinstance(model, Popularity))
    return top_k(found.score_catalogue(support) + support.binary_matrix().toarray(), CUTOFF).items


def _answered(bundle: Bundle, support: Interactions) -> IntArray:
    """What the service answers to visitors."""
    return bundle.recommend(TASK, as_visits(support), CUTOFF).items


def _joined(parts: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compared(values: Mapping[str, FloatArray], seed: int) -> dict[str, Any]:
    """Each method's mean, and how far the shipped path lies above it, each with its interval."""
    return {
        name: {
            "ndcg": asdict(bootstrap_mean(one, DRAWS, np.random.default_rng(seed))),
            "shipped": asdict(paired_bootstrap(values[SHIPPED], one, DRAWS, np.random.default_rng(seed))),
        }
        for name, one in values.items()
    }


def _cell(found: Mapping[str, Mapping[str, float]]) -> str:
    gain = found["shipped"]
    return f"{found['ndcg']['value']:.4f}<br>{gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


def _verdicts(supports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Popularity beaten from one support on, and no method better beyond chance."""
    for count, found in supports.items():
        if count != "0":
            low = found[FLOOR]["shipped"]["low"]
            yield f"- k = {count}: significantly better than popularity: {'reached' if low > 0 else 'missed'}"
        better = [name for name, one in found.items() if one["shipped"]["high"] < 0]
        ahead = [name for name, one in found.items() if one["shipped"]["value"] < 0]
        verdict = f"missed ({', '.join(better)})" if better else "reached"
        yield f"- k = {count}: no method significantly better: {verdict}; ahead by mean: {', '.join(ahead) or 'none'}"
