"""Inference that stays valid however often one looks: asymptotic confidence sequences for means and for differences of
means (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 2024), an exact one for proportions (Robbins
1970) and a test of how users were split (Lindon & Malek, NeurIPS 2022).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betaln, gammaln, lambertw, xlog1py, xlogy

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import SettingsError

_PRIOR = 0.5  # of the Beta mixture: Jeffreys
_BISECTIONS = 60  # halvings of [0, 1]: to within a float's own precision
_SPLIT_PRIOR = 100.0  # concentration of the Dirichlet mixture around the planned shares, in users


@dataclass(frozen=True)
class Moments:
    """What is known of observations so far; three arrays of one shape [...], so that many samples go at once.

    count: observations; variance: of one observation, with count - 1 below
    """

    count: IntArray
    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of_sums(cls, count: IntArray, total: FloatArray, squares: FloatArray) -> Self:
        """From sums of the observations and of their squares."""
        mean = total / np.maximum(count, 1)
        left = np.maximum(squares - count * mean**2, 0.0)
        return cls(count, mean, left / np.maximum(count - 1, 1))

    @classmethod
    def of_successes(cls, count: IntArray, successes: IntArray) -> Self:
        """From how many of count succeeded; one success and one failure more keep the variance of a few above zero."""
        smooth = (successes + 1) / (count + 2)
        return cls(count, successes / np.maximum(count, 1), smooth * (1 - smooth))


@dataclass(frozen=True)
class Bounds:
    """An estimate and what it lies between at all times together; arrays of one shape [...]."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class ConfidenceSequence:
    """An interval for each number of observations that all hold the truth at once with probability 1 - alpha.

    The guarantee is for many observations: do not look before some dozens are there. rho says where the sequence is
    tightest and must not be chosen by what was observed.
    """

    alpha: float
    rho: float

    @classmethod
    def tuned(cls, expected: float, alpha: float = 0.05) -> Self:
        """The sequence that is tightest at the expected number of observations.

        Raises SettingsError for an alpha that is no probability, or nothing expected.
        """
        if not 0 < alpha < 1 or expected <= 0:
            raise SettingsError(
                f"confidence sequence: found alpha {alpha} at {expected} observations; "
                "wanted 0 < alpha < 1 and more than 0 observations"
            )
        best = -lambertw(-(alpha**2) / np.e, k=-1).real
        return cls(alpha, float(np.sqrt((best - 1) / expected)))

    def critical(self, count: IntArray) -> FloatArray:
        """How many standard errors the interval reaches to each side; 1.96 becomes 3.03 where it is tightest."""
        spread = np.maximum(count, 1) * self.rho**2
        found: FloatArray = np.sqrt((1 + 1 / spread) * (np.log1p(spread) - 2 * np.log(self.alpha)))
        return found

    def mean(self, sample: Moments) -> Bounds:
        """Of the mean; without an observation it is unbounded."""
        return self._around(sample.mean, sample.variance / np.maximum(sample.count, 1), sample.count)

    def difference(self, sample: Moments, baseline: Moments) -> Bounds:
        """Of mean(sample) - mean(baseline), two independent groups whose variances may differ.

        It is the sequence of the augmented inverse-propensity estimator whose regressions are the groups' means.
        """
        error = sample.variance / np.maximum(sample.count, 1) + baseline.variance / np.maximum(
            baseline.count, 1
        )
        count = np.where(np.minimum(sample.count, baseline.count) > 0, sample.count + baseline.count, 0)
        return self._around(sample.mean - baseline.mean, error, count)

    def _around(self, estimate: FloatArray, squared_error: FloatArray, count: IntArray) -> Bounds:
        reach = np.where(count > 0, self.critical(count) * np.sqrt(squared_error), np.inf)
        return Bounds(estimate, estimate - reach, estimate + reach)


def proportion(successes: IntArray, count: IntArray, alpha: float = 0.05) -> Bounds:
    """Of a proportion, exact from the first observation on; successes and count are of one shape [...].

    p is held as long as the Beta mixture of the likelihoods is less than 1 / alpha times that of p (Ville).
    """
    successes, count = np.asarray(successes), np.asarray(count)
    estimate = successes / np.maximum(count, 1)
    low = _crossing(successes, count, np.zeros_like(estimate), estimate, alpha)
    high = _crossing(successes, count, np.ones_like(estimate), estimate, alpha)
    return Bounds(
        np.where(count > 0, estimate, 0.5), np.where(count > 0, low, 0), np.where(count > 0, high, 1)
    )


def split_p_value(counts: IntArray, shares: FloatArray) -> float:
    """The always-valid p-value of counts [V] having been drawn with shares [V], which add up to 1.

    It may be looked at after each user: the chance that it is ever below alpha is at most alpha.
    """
    prior = _SPLIT_PRIOR * shares
    total = counts.sum()
    mixture = (
        gammaln(_SPLIT_PRIOR)
        - gammaln(_SPLIT_PRIOR + total)
        + (gammaln(prior + counts) - gammaln(prior)).sum()
    )
    return float(np.exp(min(xlogy(counts, shares).sum() - mixture, 0.0)))


def _crossing(
    successes: IntArray, count: IntArray, outer: FloatArray, inner: FloatArray, alpha: float
) -> FloatArray:
    """Between inner, which is held, and outer: where the evidence against p reaches 1 / alpha; outer if nowhere."""
    mixture = betaln(successes + _PRIOR, count - successes + _PRIOR) - betaln(_PRIOR, _PRIOR) + np.log(alpha)
    out, held = outer.astype(float), inner.astype(float)
    for _ in range(_BISECTIONS):
        middle = (out + held) / 2
        likelihood = xlogy(successes, middle) + xlog1py(count - successes, -middle)
        holds = likelihood > mixture
        out, held = np.where(holds, out, middle), np.where(holds, middle, held)
    return out
