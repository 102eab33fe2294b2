"""Greedy re-ranking that trades relevance for diversity.

MMR (Carbonell & Goldstein, SIGIR 1998) and calibration (Steck, RecSys 2018). Both are greedy, so the first k positions
of a longer list are the list of length k.
"""

from collections.abc import Sequence

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray

_SMOOTHING = 0.01


def relevance(scores: FloatArray) -> FloatArray:
    """Scores [U, K] of each row scaled to 0..1; -inf stays -inf, and a row of equal scores is all 1."""
    finite = np.isfinite(scores)
    low = np.where(finite, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(finite, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    base = np.where(high > low, low, high - 1.0)
    return np.where(finite, (np.where(finite, scores, 0.0) - base) / span, -np.inf)


def mmr(relevant: FloatArray, labels: Sequence[IntArray], weight: float) -> IntArray:
    """Order of each row's candidates by maximal marginal relevance, as indices into the row, [U, K].

    relevant: [U, K], -inf comes last; labels: [U, K] each, the similarity of two items is the share of labels that they
    have in common. Each step takes the item of highest (1 - weight) * relevance - weight * (similarity to the most
    similar selected item); ties go to the first.
    """
    rows = np.arange(len(relevant))
    order = np.empty(relevant.shape, np.int64)
    similarity = np.zeros(relevant.shape)
    remaining = relevant.copy()
    for position in range(relevant.shape[1]):
        best = _first_best(remaining, weight, similarity)
        order[:, position] = best
        shared = [label == label[rows, best][:, None] for label in labels]
        similarity = np.maximum(similarity, np.mean(shared, axis=0))
        remaining[rows, best] = np.nan
    return order


def calibrated(relevant: FloatArray, label: IntArray, target: FloatArray, weight: float) -> IntArray:
    """Order of each row's candidates that follows the user's mixture of labels, as indices into the row, [U, K].

    relevant: [U, K], -inf comes last; label: of each candidate, [U, K]; target: each user's shares, [U, J]. Each step
    takes the item of highest (1 - weight) * relevance - weight * KL(target || shares of the list with it), where the
    shares are smoothed by 1% of the target; ties go to the first.
    """
    rows = np.arange(len(relevant))
    order = np.empty(relevant.shape, np.int64)
    count = np.zeros(target.shape)
    remaining, code = relevant.copy(), np.maximum(label, 0)
    for position in range(relevant.shape[1]):
        now, added = (_kl_terms(target, listed / (position + 1)) for listed in (count, count + 1))
        divergence = now.sum(axis=1, keepdims=True) - now + added  # if the next item had each label, [U, J]
        best = _first_best(remaining, weight, divergence[rows[:, None], code])
        order[:, position] = best
        count[rows, code[rows, best]] += 1
        remaining[rows, best] = np.nan
    return order


def _kl_terms(target: FloatArray, share: FloatArray) -> FloatArray:
    mixed = (1 - _SMOOTHING) * share + _SMOOTHING * target
    ratio = np.divide(target, mixed, out=np.ones_like(target), where=target > 0)
    return target * np.log(ratio)


def _first_best(remaining: FloatArray, weight: float, penalty: FloatArray) -> IntArray:
    """Index of each row's first best item; a selected item (NaN) is never chosen, an item of -inf last, [U]."""
    gain = (1 - weight) * np.where(np.isfinite(remaining), remaining, 0.0) - weight * penalty
    gain = np.where(np.isinf(remaining), np.finfo(float).min, gain)
    return np.asarray(np.where(np.isnan(remaining), -np.inf, gain).argmax(axis=1))
