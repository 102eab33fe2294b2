"""The blend's lists of the demo shop's run against peers, for all users and by tier."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models.__main__ import FIGURES
from benchmarks.models.datasets.complete_journey import DISCOVERY, NEXT, PEERS, FinishedRun, ShopTask
from benchmarks.models.record import DRAWS, as_json, figures, read
from benchmarks.models.task import Entry, Round
from benchmarks.models.trial import fit_entry, rank_users, user_metrics
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import bootstrap_by_group, bootstrap_mean
from tierrec_core.evaluation.leaderboard import BLEND
from tierrec_core.tiers import TIER_NAMES, Tiering

TITLE = "The demo shop's blend against its peers, by tier"
_METRICS, _K = ("ndcg@10", "recall@10"), 10
_AGAINST: tuple[tuple[ShopTask, tuple[str, ...]], ...] = (
    (NEXT, ("published_tifu_knn", "personal_frequency")),
    (DISCOVERY, ("ease_of_binary", "ease_of_log_counts")),
)


def measure(seed: int) -> dict[str, Any]:
    """The blend's metrics by task, and paired gains over each peer."""
    run = FinishedRun.read()
    tier = artifacts.load(Tiering, run.layout.tiering(run.log.final.name)).tier
    return {"tasks": {shop.task: _task(run, shop, peers, tier, seed) for shop, peers in _AGAINST}}


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """A table per task, whether its target is reached, and the tiers with a loss."""
    targets = {shop.task: shop.targets[0] for shop, _ in _AGAINST}
    for task, found in record["tasks"].items():
        target, own = targets[task], found["blend"]
        verdict = "reached" if own[target.metric]["value"] >= target.bound else "missed"
        yield f"\n**{task}**: {target.metric} {_format(own[target.metric])}, target {target.bound:.3f}: {verdict}.\n"
        yield "| blend - peer | metric | all | " + " | ".join(TIER_NAMES) + " |"
        yield "|---" * (3 + len(TIER_NAMES)) + "|"
        for peer, metrics in found["gains"].items():
            for metric, gain in metrics.items():
                groups = " | ".join(_format(gain[name], "+") if name in gain else "" for name in TIER_NAMES)
                yield f"| {peer} | {metric} | {_format(gain['all'], '+')} | {groups} |"
        yield f"\nTiers with a significant loss: {_losses(found['gains']) or 'none'}."


def list_table(frame: pd.DataFrame, users: pd.Index, items: pd.Index, k: int) -> IntArray:
    """Lists with user_id, item_id and rank from 1 as item columns, padded with -1, [U, k]."""
    frame = frame[frame["rank"] <= k]
    table = np.full((len(users), k), -1, np.int32)
    row, column = users.get_indexer(frame["user_id"]), items.get_indexer(frame["item_id"])
    table[row, frame["rank"].to_numpy() - 1] = column
    return table


def _task(run: FinishedRun, shop: ShopTask, peers: Sequence[str], tier: IntArray, seed: int) -> dict[str, Any]:
    round_ = run.round(run.log.windows_of(shop.task, "test")[0])
    shown = pd.read_parquet(run.layout.lists(shop.task, BLEND))
    table = list_table(shown, round_.history.users, round_.history.items, _K)
    own = user_metrics(table, round_.truth, _METRICS)
    group = tier[round_.truth.users]
    return {
        "users": len(round_.truth.users),
        "blend": figures(own, seed),
        "gains": {peer: _gains(own, _values(PEERS[peer], shop, round_), group, seed) for peer in peers},
    }


def _values(peer: Entry, shop: ShopTask, round_: Round) -> Mapping[str, FloatArray]:
    """The peer's metrics by user, with the options recorded in results.json, else its first ones."""
    recorded = read(FIGURES).get(shop.name, {}).get(peer.name)
    options = recorded["params"] if recorded else dict(peer.fixed) | dict(*peer.first[:1])
    model = fit_entry(peer, round_.training, options)
    return user_metrics(rank_users(model, round_, _K, round_.truth.users), round_.truth, _METRICS)


def _gains(own: Mapping[str, FloatArray], peer: Mapping[str, FloatArray], group: IntArray, seed: int) -> dict[str, Any]:
    """Paired differences for all users and by tier."""
    found = {}
    for metric in _METRICS:
        gain = own[metric] - peer[metric]
        groups = bootstrap_by_group(gain, group, TIER_NAMES, DRAWS, np.random.default_rng(seed))
        found[metric] = {"all": as_json(bootstrap_mean(gain, DRAWS, np.random.default_rng(seed)))} | {
            name: as_json(one) for name, one in groups.items()
        }
    return found


def _format(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["ci"]
    return f"{figure['value']:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def _losses(gains: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    return ", ".join(
        f"{name} ({metric}, {peer})"
        for peer, metrics in gains.items()
        for metric, gain in metrics.items()
        for name in TIER_NAMES
        if name in gain and gain[name]["ci"][1] < 0
    )
