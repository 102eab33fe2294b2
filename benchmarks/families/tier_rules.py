"""The rules that are held against each other as activity tiers: the product's methods, and scores it does not have."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from tierrec_core.base.contracts import Event, FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers.activity import ActivityTiers
from tierrec_core.tiers.rfm import MONEY, ActivityFeatures
from tierrec_core.tiers.stability import spend_per_user

_MONTH = 28.0
_HALF_LIVES = (14.0, 28.0, 45.0, 90.0, 180.0)


@dataclass(frozen=True)
class FlatSpend(ActivityFeatures):
    """Money is log(1 + spend) of the window, all of it counting alike."""

    def of(self, history: Interactions) -> FloatArray:
        """As ActivityFeatures.of, [U, 4]."""
        found = super().of(history)
        found[:, MONEY] = np.log1p(spend_per_user(history, history.now - self.window_days, history.now))
        return found


@dataclass(frozen=True)
class MeanScore(ActivityFeatures):
    """In the place of money stands the mean of the four standardised features; 0 for who was not active.

    mean, scale: of the active users' features when the rule was drawn, [4] and [4]
    """

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Learn the scales from the active users."""
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
class Foretold(ActivityFeatures):
    """In the place of money stands log(1 + spend of the next 28 days) as a linear regression foretells it.

    weights: of an intercept, log spend at five half-lives, frequency, recency and breadth, [9]
    """

    weights: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Learn from the newest 28 days what those before them told."""
        base = ActivityFeatures.fit(history, window_days)
        past = history.before(history.now - _MONTH)
        told, active = _told(base, past), base.of(past)[:, MONEY] > 0
        wanted = np.log1p(spend_per_user(history, past.now, history.now))
        gram = told[active].T @ told[active] + 1e-3 * np.eye(told.shape[1])
        weights = np.linalg.solve(gram, told[active].T @ wanted[active])
        return cls(**_parts(base), weights=weights)

    def of(self, history: Interactions) -> FloatArray:
        """As ActivityFeatures.of, [U, 4]."""
        found = super().of(history)
        score = np.maximum(_told(self, history) @ self.weights, 1e-6)
        found[:, MONEY] = np.where(found[:, MONEY] > 0, score, 0.0)
        return found


def _parts(base: ActivityFeatures) -> dict[str, Any]:
    return {field.name: getattr(base, field.name) for field in fields(base)}


def _told(base: ActivityFeatures, history: Interactions) -> FloatArray:
    """What the regression looks at, [U, 9]."""
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
    """A way to draw tiers: a recipe of features, and the settings of what divides them."""

    recipe: type[ActivityFeatures]
    settings: TierSettings

    def fit(self, history: Interactions, rng: np.random.Generator) -> ActivityTiers:
        """The rule as of the history's now."""
        features = self.recipe.fit(history, self.settings.window_days)
        return ActivityTiers.from_features(features, features.of(history), self.settings, rng)


def rules(settings: TierSettings) -> Mapping[str, Rule]:
    """Every rule by name; all share the settings' window and hysteresis unless the name says otherwise."""

    def made(recipe: type[ActivityFeatures] = ActivityFeatures, **changes: object) -> Rule:
        return Rule(recipe, settings.model_copy(update={"method": "quantile"} | changes))

    return {
        "quantile (decayed log spend)": made(),
        "quantile, cuts 50/85": made(quantiles=(0.5, 0.85)),
        "quantile, cuts 60/90": made(quantiles=(0.6, 0.9)),
        "quantile, 60-day window": made(window_days=60.0),
        "quantile, 120-day window": made(window_days=120.0),
        "quantile, hysteresis .25": made(hysteresis=0.25),
        "quantiles of flat log spend": made(FlatSpend),
        "quantiles of mean z RFM": made(MeanScore),
        "quantiles of foretold spend": made(Foretold),
        "kmeans": made(method="kmeans"),
        "gaussian_mixture": made(method="gaussian_mixture"),
        "agglomerative": made(method="agglomerative"),
    }
