"""Stability of activity tiers: bootstrap agreement, transitions over time, and explained variance."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score, confusion_matrix

from tierrec_core.base.contracts import Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers.activity import ActivityTiers


def bootstrap_agreement(
    rule: ActivityTiers, history: Interactions, settings: TierSettings, rng: np.random.Generator
) -> FloatArray:
    """Adjusted Rand index (Hubert and Arabie, 1985) of the tiers and those refitted on a bootstrap sample, [B]."""
    features = rule.features.of(history)
    tiers = rule.assign_features(features)
    agreement = []
    for _ in range(settings.bootstraps):
        sample = features[rng.integers(len(features), size=len(features))]
        refitted = ActivityTiers.from_features(rule.features, sample, settings, rng)
        agreement.append(adjusted_rand_score(tiers, refitted.assign_features(features)))
    return np.array(agreement)


def explained_variance(tiers: IntArray, outcome: FloatArray) -> float:
    """Eta squared: share of the variance of an outcome [U] between the tiers [U]; 0 without variance."""
    mean, total = outcome.mean(), float(((outcome - outcome.mean()) ** 2).sum())
    groups = [outcome[tiers == tier] for tier in np.unique(tiers)]
    between = sum(len(group) * float(group.mean() - mean) ** 2 for group in groups)
    return between / total if total > 0 else 0.0


def spend_per_user(log: Interactions, start: float, end: float) -> FloatArray:
    """Money paid from day `start` to before day `end`, [U]; number of purchases where none has a value."""
    bought = log.where((log.day >= start) & (log.day < end)).filter_events(Event.PURCHASE)
    paid = np.maximum(bought.value, 0.0) if (bought.value > 0).any() else np.ones(len(bought))
    return np.bincount(bought.user, paid, minlength=log.num_users).astype(float)


def tiers_over_time(rule: ActivityTiers, log: Interactions, moments: Sequence[float], *, hysteresis: bool) -> IntArray:
    """Tiers of every user at each moment under the fixed rule, [M, U]."""
    tiers: list[IntArray] = []
    for moment in moments:
        previous = tiers[-1] if hysteresis and tiers else None
        tiers.append(rule.assign(log.before(moment), previous))
    return np.stack(tiers)


def transition_table(before: IntArray, after: IntArray, num_tiers: int) -> FloatArray:
    """Of the users in a tier before (row), the share in each tier after, [T, T]; empty rows are 0."""
    return np.asarray(confusion_matrix(before, after, labels=range(num_tiers), normalize="true"))


def change_share(tiers: IntArray) -> float:
    """Share of users whose tier differs from one moment to the next, over all steps of tiers [M, U]."""
    return float((tiers[1:] != tiers[:-1]).mean()) if len(tiers) > 1 else 0.0


def flip_share(tiers: IntArray) -> float:
    """Share of users who leave a tier and return at the next moment (A-B-A), over all steps of tiers [M, U]."""
    if len(tiers) < 3:
        return 0.0
    return float(((tiers[2:] == tiers[:-2]) & (tiers[1:-1] != tiers[:-2])).mean())
