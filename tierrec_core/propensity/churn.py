"""Churn model: probability that a user has no target event within the next days.

The features are those of counting models of repeat buying: recency, frequency and the user's own interval (Fader,
Hardie and Lee, Marketing Science 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit
from sklearn.metrics import log_loss

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.propensity.classifier import Classifier, log_odds
from tierrec_core.settings import ChurnSettings
from tierrec_core.tiers import Tiering

KINDS = ("logistic", "boosted")
RECENCY = "log_days_since_last"

_NEVER = 364.0  # days since the last event of a user without events
_ONCE = 91.0  # interval of a user with one visit, in days
_WINDOWS = (14.0, 28.0, 91.0)  # also the half-lives of decayed counts


@dataclass(frozen=True)
class ChurnFeatures:
    """Feature extraction with fixed parameters. target: names of the events that count as a return."""

    target: tuple[str, ...]
    tiering: Tiering

    def of(self, history: Interactions) -> dict[str, FloatArray]:
        """Every feature by name as of `history.now`, [U] each."""
        features = _visit_features(history.filter_events(*self.target))
        features["log_days_since_any_event"] = np.log1p(_days_since_last(history))
        tier = self.tiering.assign(history)
        features |= {f"tier_{name}": (tier == code) * 1.0 for code, name in enumerate(self.tiering.names) if code}
        interests = self.tiering.interests_of(history).T
        return features | {f"interest_{layer}": share for layer, share in enumerate(interests)}


@dataclass(frozen=True)
class ChurnDataset:
    """Features of users as of one or more moments, and whether they churned.

    columns: names of the features, [F]
    values: features of each user with an event before the moment, [N, F] float32
    label: whether no target event follows within the horizon, [N]
    user: row of each in the log, [N]
    """

    columns: tuple[str, ...]
    values: FloatArray
    label: BoolArray
    user: IntArray

    @classmethod
    def of(cls, log: Interactions, moment: float, horizon_days: float, features: ChurnFeatures) -> Self:
        """All users with an event before the moment; the log must reach to horizon_days after it."""
        past = log.before(moment)
        user = np.flatnonzero(np.diff(past.offsets))
        future = log.where((log.day >= moment) & (log.day < moment + horizon_days)).filter_events(*features.target)
        returned = np.bincount(future.user, minlength=log.num_users) > 0
        table = features.of(past)
        return cls(tuple(table), _stack(table, tuple(table))[user], ~returned[user], user)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The examples of several moments as one."""
        return cls(
            parts[0].columns,
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.user for part in parts]),
        )

    def select_columns(self, *columns: str) -> FloatArray:
        """The values of these features, [N, len(columns)]."""
        return self.values[:, [self.columns.index(name) for name in columns]]


@dataclass(frozen=True)
class ChurnModel:
    """The probability of no target event in the next horizon_days. base_rate: that of a history without events."""

    horizon_days: float
    base_rate: float
    features: ChurnFeatures
    classifier: Classifier

    @classmethod
    def fit(
        cls,
        kind: str,
        features: ChurnFeatures,
        train: ChurnDataset,
        later: ChurnDataset,
        settings: ChurnSettings,
        seed: int,
    ) -> Self:
        """Train on `train`, which must hold both labels, and calibrate on `later`, which must be disjoint."""
        fitted = fit_classifier(kind, train, settings, seed).calibrated(later.values, later.label)
        return cls(settings.horizon_days, float(expit(log_odds(later.label))), features, fitted)

    @classmethod
    def constant(cls, features: ChurnFeatures, label: BoolArray, settings: ChurnSettings) -> Self:
        """The share of true labels for all users, where there is no training data."""
        odds = log_odds(label)
        return cls(settings.horizon_days, float(expit(odds)), features, Classifier.prior((), odds))

    def probability(self, history: Interactions) -> FloatArray:
        """The probability for each history as of its `now`, [U]."""
        table = self.features.of(history)
        predicted = self.classifier.probability(_stack(table, self.classifier.columns))
        return np.where(np.diff(history.offsets) > 0, predicted, self.base_rate)


def fit_classifier(kind: str, train: ChurnDataset, settings: ChurnSettings, seed: int) -> Classifier:
    """A classifier of one of KINDS, fitted but not calibrated."""
    if kind == "logistic":
        return Classifier.logistic(train.columns, train.values, train.label, settings.l2)
    return Classifier.boosted(train.columns, train.values, train.label, settings.trees, seed)


def validation_losses(train: ChurnDataset, later: ChurnDataset, settings: ChurnSettings, seed: int) -> dict[str, float]:
    """Log loss on `later` of each kind fitted on `train`; lower is better."""
    fits = {kind: fit_classifier(kind, train, settings, seed) for kind in KINDS}
    return {
        kind: float(log_loss(later.label, fitted.probability(later.values), labels=[False, True]))
        for kind, fitted in fits.items()
    }


def _stack(table: dict[str, FloatArray], columns: Sequence[str]) -> FloatArray:
    """The named features as one array, [U, F] float32; [U, 0] where none is named."""
    rows = len(next(iter(table.values())))
    return np.array([table[name] for name in columns], np.float32).reshape(len(columns), rows).T


def _days_since_last(history: Interactions) -> FloatArray:
    """Days since each user's last event, at most a year, [U]."""
    last = np.full(history.num_users, _NEVER)
    np.minimum.at(last, history.user, history.age)
    return last


def _visit_features(history: Interactions) -> dict[str, FloatArray]:
    """Frequency, recency, regularity and size of each user's visits, [U] each. A visit is a session."""
    num, user, age, opens = history.num_users, history.user, history.age, history.opens_session
    visitor, visited = user[opens], age[opens]
    visits = np.bincount(visitor, minlength=num).astype(float)
    recent = {days: np.bincount(visitor, visited <= days, num) for days in _WINDOWS}
    events = np.maximum(np.bincount(user, minlength=num), 1)
    paid = np.bincount(user, np.maximum(history.value, 0.0), num)
    earlier = (recent[91.0] - recent[28.0]) * 28.0 / 63.0
    features = {RECENCY: np.log1p(_days_since_last(history))} | _interval_features(visitor, visited, visits)
    features["overdue"] = features[RECENCY] - features["log_interval"]
    features |= {f"log_visits_{days:.0f}d": np.log1p(count) for days, count in recent.items()}
    for days in _WINDOWS:
        features[f"log_decayed_{days:.0f}d"] = np.log1p(np.bincount(visitor, np.exp2(-visited / days), num))
    return features | {
        "trend": np.log((recent[28.0] + 0.5) / (earlier + 0.5)),
        "log_basket": np.log1p(events / np.maximum(visits, 1.0)),
        "log_spend_per_visit": np.log1p(paid / np.maximum(visits, 1.0)),
        "coupon_share": np.bincount(user, history.coupon, num) / (events + 10.0),
    }


def _interval_features(visitor: IntArray, visited: FloatArray, visits: FloatArray) -> dict[str, FloatArray]:
    """Mean, spread and maximum of each user's intervals between visits, in log days, and tenure, [U] each.

    visitor, visited: user and age in days of each visit, in order of (user, time), [V]
    """
    gap = np.zeros(len(visitor))
    gap[1:] = np.where(visitor[1:] == visitor[:-1], visited[:-1] - visited[1:], 0.0)
    num, gaps = len(visits), np.maximum(visits - 1.0, 1.0)
    total, square = np.bincount(visitor, gap, num), np.bincount(visitor, gap**2, num)
    longest, first = np.zeros(num), np.zeros(num)
    np.maximum.at(longest, visitor, gap)
    np.maximum.at(first, visitor, visited)
    interval = total / gaps
    return {
        "log_interval": np.log1p(np.where(visits > 1, interval, _ONCE)),
        "log_interval_spread": np.log1p(np.sqrt(np.maximum(square / gaps - interval**2, 0.0))),
        "log_longest_interval": np.log1p(longest),
        "tenure": np.minimum(first, _WINDOWS[-1]) / _WINDOWS[-1],
    }
