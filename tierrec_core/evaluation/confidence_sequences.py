"""Anytime-valid inference for continuously monitored experiments.

Asymptotic confidence sequences for means and their differences (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals
of Statistics 2024), an exact one for proportions (Robbins 1970) and a test for sample ratio mismatch (Lindon & Malek,
NeurIPS 2022).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betaln, gammaln, lambertw, xlog1py, xlogy

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import SettingsError

_PRIOR = 0.5  # of the Beta mixture: Jeffreys
_BISECTIONS = 60  # of [0, 1], down to the precision of a float
_SPLIT_PRIOR = 100.0  # concentration of the Dirichlet mixture around the planned shares, in users


@dataclass(frozen=True)
class Moments:
    """Count, mean and unbiased variance of the observations of many samples, three arrays of one shape [...]."""

    count: IntArray
    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of_successes(cls, count: IntArray, successes: IntArray) -> Self:
        """From successes out of count; one extra success and failure keep the variance of small samples above zero."""
        smooth = (successes + 1) / (count + 2)
        return cls(count, successes / np.maximum(count, 1), smooth * (1 - smooth))


@dataclass(frozen=True)
class Bounds:
    """An estimate and its confidence sequence; arrays of one shape [...]."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class ConfidenceSequence:
    """Intervals, one for each number of observations, that all contain the true value with probability 1 - alpha.

    The guarantee is asymptotic: wait for some dozens of observations. rho determines where the sequence is tightest
    and must not depend on the observations.
    """

    alpha: float
    rho: float

    @classmethod
    def tuned(cls, expected: float, alpha: float = 0.05) -> Self:
        """The sequence that is tightest at the expected number of observations.

        Raises SettingsError unless 0 < alpha < 1 and expected > 0.
        """
        if not 0 < alpha < 1 or expected <= 0:
            raise SettingsError(
                f"confidence sequence: found alpha {alpha} at {expected} observations; "
                "wanted 0 < alpha < 1 and more than 0 observations"
            )
        best = -lambertw(-(alpha**2) / np.e, k=-1).real
        return cls(alpha, float(np.sqrt((best - 1) / expected)))

    def critical(self, count: IntArray) -> FloatArray:
        """Half-width of the interval in standard errors; 3.03 where it is tightest, against 1.96 for a fixed sample."""
        spread = np.maximum(count, 1) * self.rho**2
        return np.asarray(np.sqrt((1 + 1 / spread) * (np.log1p(spread) - 2 * np.log(self.alpha))))

    def difference(self, sample: Moments, baseline: Moments) -> Bounds:
        """Bounds of mean(sample) - mean(baseline) for independent groups; infinite if one has no observation.

        This is the sequence of the augmented inverse-propensity estimator whose regressions are the groups' means.
        """
        variance = sample.variance / np.maximum(sample.count, 1) + baseline.variance / np.maximum(baseline.count, 1)
        count = np.where(np.minimum(sample.count, baseline.count) > 0, sample.count + baseline.count, 0)
        half_width = np.where(count > 0, self.critical(count) * np.sqrt(variance), np.inf)
        estimate = sample.mean - baseline.mean
        return Bounds(estimate, estimate - half_width, estimate + half_width)


def proportion(successes: IntArray, count: IntArray, alpha: float = 0.05) -> Bounds:
    """Bounds of a proportion, exact from the first observation; successes and count have one shape [...].

    They contain p as long as the Beta mixture of the likelihoods is below 1 / alpha times the likelihood of p (Ville).
    """
    successes, count = np.asarray(successes), np.asarray(count)
    estimate = successes / np.maximum(count, 1)
    low = _crossing(successes, count, np.zeros_like(estimate), estimate, alpha)
    high = _crossing(successes, count, np.ones_like(estimate), estimate, alpha)
    return Bounds(np.where(count > 0, estimate, 0.5), np.where(count > 0, low, 0), np.where(count > 0, high, 1))


def split_p_value(counts: IntArray, shares: FloatArray) -> float:
    """The always-valid p-value that counts [V] were drawn with shares [V], which sum to 1.

    It may be checked after each user: the probability that it is ever below alpha is at most alpha.
    """
    prior = _SPLIT_PRIOR * shares
    total = counts.sum()
    mixture = gammaln(_SPLIT_PRIOR) - gammaln(_SPLIT_PRIOR + total) + (gammaln(prior + counts) - gammaln(prior)).sum()
    return float(np.exp(min(xlogy(counts, shares).sum() - mixture, 0.0)))


def _crossing(successes: IntArray, count: IntArray, outer: FloatArray, inner: FloatArray, alpha: float) -> FloatArray:
    """Where the evidence against p reaches 1 / alpha between inner, which is in the sequence, and outer; else outer."""
    mixture = betaln(successes + _PRIOR, count - successes + _PRIOR) - betaln(_PRIOR, _PRIOR) + np.log(alpha)
    outside, inside = outer.astype(float), inner.astype(float)
    for _ in range(_BISECTIONS):
        middle = (outside + inside) / 2
        likelihood = xlogy(successes, middle) + xlog1py(count - successes, -middle)
        contained = likelihood > mixture
        outside = np.where(contained, outside, middle)
        inside = np.where(contained, middle, inside)
    return outside
