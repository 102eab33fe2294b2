"""Cold users: recommendations from none, one, three or five of their last items."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np

from benchmarks.families import few_shot
from benchmarks.families.cold_shop import TASK, ColdShop, Models, as_anonymous_sessions, support_and_truth
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
TEST_FOLDS = (0, 2)  # fifths of the users; options were chosen on fold 1
SHIPPED, BEFORE, FLOOR = "shipped path", "blend trained on known users", "popularity"
_WHAT = {
    FLOOR: "popularity of the last 14 days",
    "tier_prior": "popularity of the tier",
    "als": "plain fold-in",
    "cold_start": "fold-in with a learned prior for each tier",
    "joint": "joint training, fine-tuned on the support",
    "reptile": "Reptile over users",
    "anil": "ANIL over users",
    "set_encoder": "Deep Sets encoder of the support",
    "own items": "the support itself, then popularity",
    BEFORE: "training examples of whole histories",
    SHIPPED: "popularity at k = 0, else the blend trained on simulated cold users too",
}


def measure(seed: int) -> dict[str, Any]:
    """NDCG of every method by support size, over the users of all test folds."""
    parts: dict[int, list[dict[str, FloatArray]]] = {count: [] for count in SUPPORTS}
    for fold in TEST_FOLDS:
        shop = ColdShop.read(fold)
        training = shop.training(shop.known.final.name)
        methods = shop.final | _other_models(training, seed)
        warm, cold = shop.ranker_examples
        before, after = shop.bundle(warm), shop.bundle(warm + cold)
        window = shop.held.windows_of(TASK, "test")[0]
        for count in SUPPORTS:
            support, truth = support_and_truth(shop.held, window, count)
            right = Truth.of(*truth, support.num_items)
            lists = _retrieve(methods, support)
            lists["own items"] = _support_first(shop.final, support)
            lists[BEFORE] = _bundle_lists(before, support)
            lists[SHIPPED] = _bundle_lists(after, support) if count else lists[FLOOR]
            parts[count].append({name: per_user(items, right, CUTOFF)["ndcg"] for name, items in lists.items()})
            print(f"cold_users: fold {fold}, k = {count} evaluated", flush=True)
    values = {count: _concatenate(found) for count, found in parts.items()}
    return {"users": len(values[0][FLOOR]), "supports": {str(k): _compare(one, seed) for k, one in values.items()}}


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Every method by support size, the gain of the shipped path, and the targets."""
    supports = record["supports"]
    yield (
        f"Complete Journey; two fifths of the users, one after the other, are held out; {record['users']} of\n"
        "them have events in the test's 14 days. Each has the last k items before the cut as history; the truth is\n"
        f"all later items, repeats included. NDCG@{CUTOFF}, and below it the gain of the shipped path over\n"
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


def _other_models(training: Training, seed: int) -> Models:
    """Models that are not part of the demo: neighbours, linear autoencoder, set encoder and few-shot learners."""
    found = {}
    for name in ("item_knn", "linear_autoencoder", "set_encoder"):
        kind, config = registry.configure(name, {})
        found[name] = kind.fit(training, config)
    options = SetEncoder.Config()
    parts = episodes(training.history, training.target, options.episodes, options.horizon_days, options.window_days)
    start = popularity(training.history, training.target, options.window_days)
    few = {"joint": few_shot.fit_joint, "anil": few_shot.fit_anil, "reptile": few_shot.fit_reptile}
    return found | {name: learn(parts, start, seed) for name, learn in few.items()}


def _retrieve(methods: Models, support: Interactions) -> dict[str, IntArray]:
    return {
        name: top_k(cast("Retriever", model).score_catalogue(support), CUTOFF).items
        for name, model in methods.items()
        if hasattr(model, "score_catalogue")
    }


def _support_first(models: Models, support: Interactions) -> IntArray:
    """The support's items by popularity, then other popular items."""
    found = next(model for model in models.values() if isinstance(model, Popularity))
    return top_k(found.score_catalogue(support) + support.binary_matrix().toarray(), CUTOFF).items


def _bundle_lists(bundle: Bundle, support: Interactions) -> IntArray:
    """The service's lists for anonymous users."""
    return bundle.recommend(TASK, as_anonymous_sessions(support), CUTOFF).items


def _concatenate(parts: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compare(values: Mapping[str, FloatArray], seed: int) -> dict[str, Any]:
    """Each method's mean, and the shipped path's paired gain over it, with intervals."""
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
    """Whether popularity is beaten from one support on, and whether no method is significantly better."""
    for count, found in supports.items():
        if count != "0":
            low = found[FLOOR]["shipped"]["low"]
            yield f"- k = {count}: significantly better than popularity: {'reached' if low > 0 else 'missed'}"
        better = [name for name, one in found.items() if one["shipped"]["high"] < 0]
        ahead = [name for name, one in found.items() if one["shipped"]["value"] < 0]
        verdict = f"missed ({', '.join(better)})" if better else "reached"
        yield f"- k = {count}: no method significantly better: {verdict}; ahead by mean: {', '.join(ahead) or 'none'}"
