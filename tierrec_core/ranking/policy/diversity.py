"""Greedy re-ranking that trades relevance for diversity.

MMR (Carbonell & Goldstein, SIGIR 1998) and calibration (Steck, RecSys 2018). Both are greedy, so that the first k
places of a longer order are the order of k places.
"""

from collections.abc import Sequence

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray

_SMOOTHING = 0.01


def relevance(scores: FloatArray) -> FloatArray:
    """Scores [U, K] of each row brought to 0..1; -inf stays -inf, and a row of equal scores is all 1."""
    there = np.isfinite(scores)
    low = np.where(there, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(there, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    filled = np.where(there, scores, 0.0)
    base = np.where(high > low, low, high - 1.0)
    scaled: FloatArray = np.where(there, (filled - base) / span, -np.inf)
    return scaled


def mmr(relevant: FloatArray, labels: Sequence[IntArray], weight: float) -> IntArray:
    """Places of each row's candidates in the order of maximal marginal relevance, [U, K].

    relevant: [U, K], -inf comes last; labels: [U, K] each, two items being as similar as the share of labels that
    they have in common. Each step takes the item of highest (1 - weight) * relevance - weight * (similarity to the
    most similar item taken before); ties go to the first.
    """
    rows, width = np.arange(len(relevant)), relevant.shape[1]
    order = np.empty(relevant.shape, np.int64)
    near = np.zeros(relevant.shape)
    left = relevant.copy()
    for place in range(width):
        best = _first_best(left, weight, near)
        order[:, place] = best
        shared = [label == label[rows, best][:, None] for label in labels]
        near = np.maximum(near, np.mean(shared, axis=0))
        left[rows, best] = np.nan
    return order


def calibrated(relevant: FloatArray, label: IntArray, wanted: FloatArray, weight: float) -> IntArray:
    """Places of each row's candidates in the order that follows the user's own mixture of labels, [U, K].

    relevant: [U, K], -inf comes last; label: of each candidate, [U, K]; wanted: each user's shares, [U, J]. Each
    step takes the item of highest (1 - weight) * relevance - weight * KL(wanted || shares of the list with it), the
    latter smoothed by a hundredth of the former; ties go to the first.
    """
    rows = np.arange(len(relevant))
    order = np.empty(relevant.shape, np.int64)
    count = np.zeros(wanted.shape)
    left, known = relevant.copy(), np.maximum(label, 0)
    for place in range(relevant.shape[1]):
        cost = _cost(wanted, count, place + 1)
        best = _first_best(left, weight, cost[rows[:, None], known])
        order[:, place] = best
        count[rows, known[rows, best]] += 1
        left[rows, best] = np.nan
    return order


def divergence(wanted: FloatArray, count: FloatArray) -> FloatArray:
    """KL(wanted || shares of a list) of each row, for labels counted in lists, both [U, J]; as `calibrated` sees it."""
    size = np.maximum(count.sum(axis=1, keepdims=True), 1)
    total: FloatArray = _terms(wanted, count / size).sum(axis=1)
    return total


def _cost(wanted: FloatArray, count: FloatArray, size: int) -> FloatArray:
    """The divergence of each row if the list's next item had each label, [U, J]."""
    terms = _terms(wanted, count / size)
    cost: FloatArray = terms.sum(axis=1, keepdims=True) - terms + _terms(wanted, (count + 1) / size)
    return cost


def _terms(wanted: FloatArray, share: FloatArray) -> FloatArray:
    mixed = (1 - _SMOOTHING) * share + _SMOOTHING * wanted
    ratio = np.divide(wanted, mixed, out=np.ones_like(wanted), where=wanted > 0)
    terms: FloatArray = wanted * np.log(ratio)
    return terms


def _first_best(left: FloatArray, weight: float, penalty: FloatArray) -> IntArray:
    """The first place of the best trade of each row; what was taken (NaN) never, what is -inf last, [U]."""
    worth = (1 - weight) * np.where(np.isfinite(left), left, 0.0) - weight * penalty
    worth = np.where(np.isinf(left), np.finfo(float).min, worth)
    best: IntArray = np.where(np.isnan(left), -np.inf, worth).argmax(axis=1)
    return best
