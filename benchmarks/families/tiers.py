"""Activity tiers by several rules: separation, stability and prediction of spend."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

from benchmarks.families.tier_rules import Rule, rules
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.bootstrap import bootstrap_by_group
from tierrec_core.settings import read_settings
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import TIER_NAMES
from tierrec_core.tiers.activity import MONEY
from tierrec_core.tiers.stability import (
    bootstrap_agreement,
    change_share,
    explained_variance,
    flip_share,
    spend_per_user,
    tiers_over_time,
)

TITLE = "Activity tiers"
BOOTSTRAPS = 100  # with 15, as in a run, the mean varies by .01 between seeds
_MONTH = 28.0
_DRAWS = 200
_NUM_TEST = 4
_GOALS = {"eta": 0.479, "ari": 0.95, "change": 0.10}


def measure(seed: int) -> dict[str, Any]:
    """Fit every rule at each snapshot of the demo shop, and evaluate it on the 28 days after.

    A rule may be chosen on the older snapshots; the newest four, the last of which is the test's, evaluate it.
    """
    layout = Layout(Path())
    settings, log = read_settings(layout.params).tiers, read_split(layout)
    shop = _Shop.of(log)
    asked = rules(settings)
    product = next(iter(asked))
    found, eta = {}, {}
    for name, rule in asked.items():
        found[name], eta[name] = shop.evaluate(rule, seed)
        found[name]["eta_gap"] = _spread(eta[name] - eta[product])
    return {
        "window_days": settings.window_days,
        "quantiles": list(settings.quantiles),
        "hysteresis": settings.hysteresis,
        "chosen_at": shop.names[:-_NUM_TEST],
        "judged_at": shop.names[-_NUM_TEST:],
        "product": product,
        "rules": found,
    }


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Targets, a table of all rules, and later spend by tier."""
    found, product = record["rules"], record["rules"][record["product"]]
    yield from _verdicts(product)
    first, last = record["judged_at"][0], record["judged_at"][-1]
    yield (
        f"\nWindow {record['window_days']:g} days, hysteresis {record['hysteresis']:g} sd, cuts at the "
        f"{' and '.join(f'{q:.0%}' for q in record['quantiles'])} quantiles of active users unless a name says "
        f"otherwise. eta^2: of spend in the next 28 days, mean over snapshots ({len(record['chosen_at'])} older ones "
        f"up to {record['chosen_at'][-1]}, on which a rule may be chosen; {len(record['judged_at'])} from {first} to "
        f"{last}, on which it is evaluated), with a 95% interval over users. ARI: {product['bootstraps']} bootstraps. "
        "Changes: share of users whose tier differs a month later with the oldest fit. Order: snapshots at which "
        "spend and the chance of a purchase both rise from light to heavy.\n"
    )
    yield (
        "| rule | silhouette | ARI mean/min | eta^2 older | eta^2 test | - product's | changes | "
        "without hysteresis | flips | order | users light/medium/heavy |"
    )
    yield "|---" * 11 + "|"
    for name, one in found.items():
        yield _row(name, one)
    yield "\n| tier | users | spend in the next 28 days | chance of a purchase |\n|---|---|---|---|"
    for tier, one in product["after"].items():
        yield f"| {tier} | {one['users']} | {_interval(one['spend'], 1)} | {_interval(one['buys'], 3)} |"
    yield f"\nBoth at {last}, with 95% intervals over users."


def _verdicts(product: Mapping[str, Any]) -> Iterator[str]:
    eta, snapshots = product["eta_judged"]["value"], product["snapshots"]
    checks = (
        (f"eta^2 of next-28-day spend >= {_GOALS['eta']}", eta >= _GOALS["eta"], f"{eta:.3f}"),
        (f"bootstrap ARI >= {_GOALS['ari']}", product["ari_mean"] >= _GOALS["ari"], f"{product['ari_mean']:.3f}"),
        (
            f"monthly changes <= {_GOALS['change']:.0%}",
            product["change"] <= _GOALS["change"],
            f"{product['change']:.1%}",
        ),
        ("order holds out of time", product["ordered"] == snapshots, f"{product['ordered']} of {snapshots} snapshots"),
    )
    for what, reached, value in checks:
        yield f"- {what}: {'reached' if reached else 'missed'}, {value} by the product's rule"


def _row(name: str, one: Mapping[str, Any]) -> str:
    cells = (
        name,
        f"{one['silhouette']:.3f}",
        f"{one['ari_mean']:.3f}/{one['ari_min']:.3f}",
        f"{one['eta_older']:.3f}",
        _interval(one["eta_judged"], 3),
        _interval(one["eta_gap"], 3, "+"),
        f"{one['change']:.1%}",
        f"{one['change_free']:.1%}",
        f"{one['flip']:.1%}",
        f"{one['ordered']}/{one['snapshots']}",
        "/".join(map(str, one["sizes"])),
    )
    return "| " + " | ".join(cells) + " |"


def _interval(figure: Mapping[str, Any], digits: int, sign: str = "") -> str:
    value, low, high = (f"{one:{sign}.{digits}f}" for one in (figure["value"], *figure["ci"]))
    return f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class _Shop:
    """The log, and for each snapshot with 28 later days its history and later spend."""

    log: Interactions
    names: list[str]
    histories: list[Interactions]
    spend: list[FloatArray]
    moments: list[float]

    @classmethod
    def of(cls, log: SplitLog) -> "_Shop":
        kept = [one.name for one in log.snapshots if one.bound + _MONTH <= log.log.now]
        histories = [log.history(name) for name in kept]
        spend = [spend_per_user(log.log, past.now, past.now + _MONTH) for past in histories]
        newest = histories[-1]
        first = float(newest.day.min()) + 90.0
        return cls(log.log, kept, histories, spend, np.arange(newest.now, first, -_MONTH)[::-1].tolist())

    def evaluate(self, rule: Rule, seed: int) -> tuple[dict[str, Any], FloatArray]:
        """The record of one rule, and its eta squared at the test snapshots from `_eta`."""
        rng = np.random.default_rng(seed)
        drawn = [rule.fit(history, rng) for history in self.histories]
        tiers = [one.assign(history) for one, history in zip(drawn, self.histories, strict=True)]
        newest = drawn[-1]
        many = rule.settings.model_copy(update={"bootstraps": BOOTSTRAPS})
        agreement = bootstrap_agreement(newest, self.histories[-1], many, rng)
        held, free = (
            tiers_over_time(drawn[0], self.histories[-1], self.moments, hysteresis=kept) for kept in (True, False)
        )
        eta = [explained_variance(*pair) for pair in zip(tiers, self.spend, strict=True)]
        judged = _eta(tiers[-_NUM_TEST:], self.spend[-_NUM_TEST:], np.random.default_rng(seed))
        found = {
            "silhouette": _silhouette(newest.features.of(self.histories[-1]), tiers[-1]),
            "bootstraps": len(agreement),
            "ari_mean": float(agreement.mean()),
            "ari_min": float(agreement.min()),
            "eta": dict(zip(self.names, eta, strict=True)),
            "eta_older": float(np.mean(eta[:-_NUM_TEST])),
            "eta_judged": _spread(judged),
            "change": change_share(held),
            "change_free": change_share(free),
            "flip": flip_share(held),
            "ordered": sum(_ordered(*pair) for pair in zip(tiers, self.spend, strict=True)),
            "snapshots": len(tiers),
            "sizes": np.bincount(tiers[-1], minlength=len(TIER_NAMES)).tolist(),
            "after": _after(tiers[-1], self.spend[-1], rng),
        }
        return found, judged


def _silhouette(features: FloatArray, tiers: IntArray) -> float:
    """Silhouette of the active users in standardized features."""
    active = features[:, MONEY] > 0
    points = features[active]
    return float(silhouette_score((points - points.mean(axis=0)) / points.std(axis=0), tiers[active]))


def _eta(tiers: Sequence[IntArray], spend: Sequence[FloatArray], rng: np.random.Generator) -> FloatArray:
    """Mean eta squared over the snapshots, of all users and of bootstrap samples shared by snapshots, [1 + B]."""
    count = len(tiers[0])
    chosen = [np.arange(count), *rng.integers(count, size=(_DRAWS, count))]
    pairs = list(zip(tiers, spend, strict=True))
    return np.array([np.mean([explained_variance(one[rows], paid[rows]) for one, paid in pairs]) for rows in chosen])


def _spread(values: FloatArray) -> dict[str, Any]:
    """The first value, with the percentile interval of the others."""
    return {"value": float(values[0]), "ci": np.percentile(values[1:], (2.5, 97.5)).tolist()}


def _ordered(tiers: IntArray, spend: FloatArray) -> bool:
    """Whether spend and the chance of a purchase both rise from tier to tier."""
    present = np.unique(tiers)
    means = np.array([[spend[tiers == one].mean(), (spend[tiers == one] > 0).mean()] for one in present])
    return bool((np.diff(means, axis=0) > 0).all())


def _after(tiers: IntArray, spend: FloatArray, rng: np.random.Generator) -> dict[str, Any]:
    """Each tier's later spend and share of buyers."""
    count = np.bincount(tiers, minlength=len(TIER_NAMES))
    figures = {
        "spend": bootstrap_by_group(spend, tiers, TIER_NAMES, 1000, rng),
        "buys": bootstrap_by_group((spend > 0).astype(float), tiers, TIER_NAMES, 1000, rng),
    }
    return {
        name: {"users": int(count[code])}
        | {what: {"value": one[name].value, "ci": [one[name].low, one[name].high]} for what, one in figures.items()}
        for code, name in enumerate(TIER_NAMES)
        if count[code]
    }
