"""A probability from a few features: logistic regression or boosted trees, calibrated on later data.

Trees are LightGBM's (Ke et al., NeurIPS 2017); calibration fits two numbers on the log odds (Platt, 1999).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import lightgbm
import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from tierrec_core.base.contracts import BoolArray, FloatArray
from tierrec_core.data.gradient_boosting import boosting_parameters
from tierrec_core.settings import BoostingSettings

_SOLVER: Mapping[str, Any] = {"solver": "newton-cholesky", "tol": 1e-8}  # few features: exact in a few steps


@dataclass(frozen=True)
class Classifier:
    """P(label | features); the log odds come from the trees if there are any, else from the weights.

    columns: names of the features, [F]
    centre, scale, weights: subtracted from each feature, divided by, and multiplied with the result, [F]
    intercept: log odds of a row at the centre
    trees: LightGBM's text format; empty for a logistic regression
    slope, shift: calibrated log odds = slope * log odds + shift
    """

    columns: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: float
    trees: str = ""
    slope: float = 1.0
    shift: float = 0.0

    @classmethod
    def prior(cls, columns: Sequence[str], intercept: float, offset: str = "") -> Self:
        """Without training: the log odds are the intercept, plus the feature named by `offset`, if any."""
        weights = np.array([float(name == offset) for name in columns])
        return cls(tuple(columns), np.zeros(len(columns)), np.ones(len(columns)), weights, intercept)

    @classmethod
    def logistic(cls, columns: Sequence[str], values: FloatArray, label: BoolArray, l2: float) -> Self:
        """Fit weights of the standardised features of values [N, F]; label [N] must hold both values."""
        centre, spread = values.mean(axis=0, dtype=float), values.std(axis=0, dtype=float)
        scale = np.where(spread > 1e-9, spread, 1.0)
        fitted = LogisticRegression(C=1.0 / l2, **_SOLVER).fit((values - centre) / scale, label)
        return cls(tuple(columns), centre, scale, fitted.coef_[0], float(fitted.intercept_[0]))

    @classmethod
    def boosted(
        cls, columns: Sequence[str], values: FloatArray, label: BoolArray, settings: BoostingSettings, seed: int
    ) -> Self:
        """Fit trees to values [N, F] and label [N]; the same input gives the same trees."""
        data = lightgbm.Dataset(values, label=label, params={"max_bin": settings.max_bin, "verbose": -1})
        parameters = boosting_parameters(
            settings, seed, objective="binary", row_share=settings.row_share, num_threads=1
        )
        booster = lightgbm.train(parameters, data, settings.num_trees)
        return replace(cls.prior(columns, 0.0), trees=booster.model_to_string())

    def calibrated(self, values: FloatArray, label: BoolArray) -> Self:
        """Fit slope and shift on rows not used in training, values [N, F] and label [N].

        Platt's soft targets keep both finite, even if all labels are equal.
        """
        raw, positives = self._raw(values), int(label.sum())
        high, low = (positives + 1.0) / (positives + 2.0), 1.0 / (len(label) - positives + 2.0)
        target = np.where(label, high, low)
        fitted = LogisticRegression(C=np.inf, **_SOLVER).fit(
            np.concatenate([raw, raw])[:, None],
            np.repeat([1, 0], len(raw)),
            sample_weight=np.concatenate([target, 1.0 - target]),
        )
        return replace(self, slope=float(fitted.coef_[0, 0]), shift=float(fitted.intercept_[0]))

    def probability(self, values: FloatArray) -> FloatArray:
        """The probability of a true label, values [N, F] -> [N]."""
        return np.asarray(expit(self.slope * self._raw(values) + self.shift))

    @property
    def importance(self) -> dict[str, float]:
        """Share of the trees' gain, or of the absolute weights, that each feature has, highest first."""
        gain = self._booster.feature_importance("gain") if self.trees else np.abs(self.weights)
        share = gain / max(float(gain.sum()), 1e-12)
        return {self.columns[column]: float(share[column]) for column in np.argsort(-share, kind="stable")}

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.trees)

    def _raw(self, values: FloatArray) -> FloatArray:
        """Log odds before calibration, [N]."""
        if self.trees and len(values):
            return np.asarray(self._booster.predict(values, raw_score=True, num_threads=1))
        return (values - self.centre) / self.scale @ self.weights + self.intercept


def log_odds(label: BoolArray) -> float:
    """Log odds of the share of true labels, shrunk to one half so that they are finite; 0 without labels."""
    return float(logit((label.sum() + 1.0) / (len(label) + 2.0)))
