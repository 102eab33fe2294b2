"""Rules for activity tiers to compare: the product's methods, and other scores."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from tierrec_core.base.contracts import Event, FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers.activity import MONEY, ActivityFeatures, ActivityTiers
from tierrec_core.tiers.stability import spend_per_user

_MONTH = 28.0
_HALF_LIVES = (14.0, 28.0, 45.0, 90.0, 180.0)


@dataclass(frozen=True)
class FlatSpend(ActivityFeatures):
    """Money is log(1 + spend) of the window, without decay."""

    def of(self, history: Interactions) -> FloatArray:
        """As ActivityFeatures.of, [U, 4]."""
        found = super().of(history)
        found[:, MONEY] = np.log1p(spend_per_user(history, history.now - self.window_days, history.now))
        return found


@dataclass(frozen=True)
class MeanScore(ActivityFeatures):
    """The mean of the four standardized features replaces money; 0 for inactive users.

    mean, scale: of the active users' features at the fit, [4] and [4]
    """

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Fit the scales to the active users."""
        base = ActivityFeatures.fit(history, window_days)
        found = base.of(history)
        active = found[found[:, MONEY] > 0]
        return cls(**_parts(base), mean=active.mean(axis=0), scale=active.std(axis=0))

    def of(self, history: Interactions) -> FloatArray:
        """As ActivityFeatures.of, [U, 4]."""
        found = super().of(history)
        score = ((found - self.mean) / self.scale).mean(axis=1)
        found[:, MONEY] = np.where(found[:, MONEY] > 0, np.logaddexp(0, score), 0.0)
        return found


@dataclass(frozen=True)
class PredictedSpend(ActivityFeatures):
    """log(1 + spend of the next 28 days), predicted by a linear regression, replaces money.

    weights: of an intercept, log spend at five half-lives, frequency, recency and breadth, [9]
    """

    weights: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Fit to the spend of the newest 28 days from features before them."""
        base = ActivityFeatures.fit(history, window_days)
        past = history.before(history.now - _MONTH)
        inputs, active = _regression_features(base, past), base.of(past)[:, MONEY] > 0
        target = np.log1p(spend_per_user(history, past.now, history.now))
        gram = inputs[active].T @ inputs[active] + 1e-3 * np.eye(inputs.shape[1])
        weights = np.linalg.solve(gram, inputs[active].T @ target[active])
        return cls(**_parts(base), weights=weights)

    def of(self, history: Interactions) -> FloatArray:
        """As ActivityFeatures.of, [U, 4]."""
        found = super().of(history)
        score = np.maximum(_regression_features(self, history) @ self.weights, 1e-6)
        found[:, MONEY] = np.where(found[:, MONEY] > 0, score, 0.0)
        return found


def _parts(base: ActivityFeatures) -> dict[str, Any]:
    return {field.name: getattr(base, field.name) for field in fields(base)}


def _regression_features(base: ActivityFeatures, history: Interactions) -> FloatArray:
    """Features of the regression, [U, 9]."""
    bought = history.filter_events(Event.PURCHASE)
    paid, users = np.maximum(bought.value, 0.0), history.num_users
    spend = [
        np.log1p(np.bincount(bought.user, paid * np.exp2(-bought.age / half_life), minlength=users))
        for half_life in _HALF_LIVES
    ]
    others = np.delete(ActivityFeatures.of(base, history), MONEY, axis=1)
    return np.column_stack([np.ones(users), *spend, others])


@dataclass(frozen=True)
class Rule:
    """A rule for tiers: feature class, and settings of the division."""

    features: type[ActivityFeatures]
    settings: TierSettings

    def fit(self, history: Interactions, rng: np.random.Generator) -> ActivityTiers:
        """Fit the rule as of the history's end."""
        features = self.features.fit(history, self.settings.window_days)
        return ActivityTiers.from_features(features, features.of(history), self.settings, rng)


def rules(settings: TierSettings) -> Mapping[str, Rule]:
    """All rules by name, with the settings' window and hysteresis unless the name says otherwise."""

    def rule(features: type[ActivityFeatures] = ActivityFeatures, **changes: object) -> Rule:
        return Rule(features, settings.model_copy(update={"method": "quantile"} | changes))

    return {
        "quantile (decayed log spend)": rule(),
        "quantile, cuts 50/85": rule(quantiles=(0.5, 0.85)),
        "quantile, cuts 60/90": rule(quantiles=(0.6, 0.9)),
        "quantile, 60-day window": rule(window_days=60.0),
        "quantile, 120-day window": rule(window_days=120.0),
        "quantile, hysteresis .25": rule(hysteresis=0.25),
        "quantiles of flat log spend": rule(FlatSpend),
        "quantiles of mean z RFM": rule(MeanScore),
        "quantiles of predicted spend": rule(PredictedSpend),
        "kmeans": rule(method="kmeans"),
        "gaussian_mixture": rule(method="gaussian_mixture"),
        "agglomerative": rule(method="agglomerative"),
    }
