"""Stage tier: fit a Tiering as of each snapshot, and report the tiers' sizes, stability and predictive power."""

from typing import Any

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, Event
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import Snapshot, SplitLog
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import Tiering, stability

_MONTH = 28.0
_SHARE = "share_of_"
_SPEND, _PURCHASES = f"{_SHARE}spend", f"{_SHARE}purchases"


def run(layout: Layout, settings: Settings) -> None:
    """Write one Tiering per snapshot and report.json; print the size of each tier."""
    tierings = _fit(layout, settings)
    _fit(layout.production, settings)
    report = describe_tiers(read_split(layout), tierings, settings)
    artifacts.write_json(report, layout.tiers_report)
    for name, tier in report["tiers"].items():
        shares = [f"  {tier[key]:.1%} of {key.removeprefix(_SHARE)}" for key in (_SPEND, _PURCHASES) if key in tier]
        print(f"{name:8} {tier['users']:6} users{''.join(shares)}")


def _fit(layout: Layout, settings: Settings) -> dict[str, Tiering]:
    """Fit and save the tiering as of each snapshot; returns them by its name."""
    log, items = read_split(layout), artifacts.read_frame(layout.items, ITEMS)
    tierings = {
        snapshot.name: Tiering.fit(log.history(snapshot.name), items, settings.tiers, settings.seed)
        for snapshot in log.snapshots
    }
    for name, tiering in tierings.items():
        artifacts.save(tiering, layout.tiering(name))
    return tierings


def describe_tiers(log: SplitLog, tierings: dict[str, Tiering], settings: Settings) -> dict[str, Any]:
    """Report on the final snapshot's tiers, from events before its bound only."""
    history, tiering = log.history(log.final.name), tierings[log.final.name]
    rng = np.random.default_rng(settings.seed)
    agreement = stability.bootstrap_agreement(tiering.activity, history, settings.tiers, rng)
    return {
        "snapshot": log.final.name,
        "method": settings.tiers.method,
        "window_days": settings.tiers.window_days,
        "cuts": tiering.activity.cuts.tolist(),
        "tiers": _sizes(history, tiering, settings.tiers.window_days),
        "stability": {"ari_mean": float(agreement.mean()), "ari_min": float(agreement.min())},
        "eta_squared_next_28_days": _eta_squared(log, tierings, history),
        "monthly": _monthly(tierings, log.snapshots, history),
        "layers": _layers(tiering),
        "layers_from": tiering.layers.basis,
    }


def _sizes(history: Interactions, tiering: Tiering, window_days: float) -> dict[str, dict[str, float]]:
    """Users of each tier, and their share of the window's spend, or of its purchases where these have no value."""
    bought = history.where(history.age <= window_days).filter_events(Event.PURCHASE)
    spend = stability.spend_per_user(bought, history.now - window_days, history.now)
    count = np.bincount(tiering.tier, minlength=len(tiering.names))
    spend_of_tier = np.bincount(tiering.tier, spend, minlength=len(tiering.names))
    share = _SPEND if (bought.value > 0).any() else _PURCHASES
    return {
        name: {"users": int(count[tier]), "share_of_users": float(count[tier] / count.sum())}
        | ({share: float(spend_of_tier[tier] / spend_of_tier.sum())} if spend_of_tier.any() else {})
        for tier, name in enumerate(tiering.names)
    }


def _eta_squared(log: SplitLog, tierings: dict[str, Tiering], history: Interactions) -> dict[str, float]:
    """Eta squared of the spend in the 28 days after each snapshot, for those that end before the test."""
    days = {name: log.history(name).now for name in tierings}
    return {
        name: stability.explained_variance(
            tiering.tier, stability.spend_per_user(history, days[name], days[name] + _MONTH)
        )
        for name, tiering in tierings.items()
        if days[name] + _MONTH <= history.now
    }


def _monthly(tierings: dict[str, Tiering], snapshots: tuple[Snapshot, ...], history: Interactions) -> dict[str, Any]:
    """Tier changes from month to month under the oldest snapshot's rule, with and without hysteresis."""
    oldest = tierings[snapshots[0].name]
    rule, names = oldest.activity, oldest.names
    first = float(history.day.min(initial=history.now)) + rule.features.window_days
    days = np.arange(history.now, first, -_MONTH)[::-1]
    if len(days) < 2:
        return {"months": len(days)}
    tiers = stability.tiers_over_time(rule, history, days.tolist(), hysteresis=True)
    unconstrained = stability.tiers_over_time(rule, history, days.tolist(), hysteresis=False)
    table = stability.transition_table(tiers[:-1].ravel(), tiers[1:].ravel(), len(names))
    return {
        "months": len(days),
        "change_share": stability.change_share(tiers),
        "flip_share": stability.flip_share(tiers),
        "change_share_without_hysteresis": stability.change_share(unconstrained),
        "flip_share_without_hysteresis": stability.flip_share(unconstrained),
        "transitions": {
            name: dict(zip(names, map(float, row), strict=True)) for name, row in zip(names, table, strict=True)
        },
    }


def _layers(tiering: Tiering) -> list[dict[str, Any]]:
    """Each layer's name, size and share of events."""
    num_layers = len(tiering.layers.names)
    size = np.bincount(tiering.item_layer, minlength=num_layers)
    users = np.bincount(tiering.interests.argmax(axis=1), minlength=num_layers)
    by_content = np.bincount(tiering.layers.content, minlength=num_layers)
    return [
        {
            "name": name,
            "share_of_events": float(tiering.layers.share[layer]),
            "items_by_lift": int(size[layer]),
            "items_by_content": int(by_content[layer]),
            "users_with_top_interest": int(users[layer]),
        }
        for layer, name in enumerate(tiering.layers.names)
    ]
