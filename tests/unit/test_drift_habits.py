"""The evidence that a user moved on is what a plain loop over the likelihoods says."""

import numpy as np
import pytest
from scipy import sparse

from monitoring.drift.habits import (
    _MOVED_SHARE,
    _MOVED_USERS,
    _PRIOR_EVENTS,
    _TEMPER_ANYWHERE,
    _TEMPER_ONE,
    Habits,
)
from tierrec_core.contracts import FloatArray, IntArray

PAST = np.array([[9, 1, 0, 0], [0, 0, 0, 0], [2, 6, 2, 0], [0, 0, 1, 7]], np.float32)
NOW = np.array([[2, 1, 3, 0], [1, 0, 0, 2], [1, 6, 0, 0], [4, 0, 0, 0]], np.float32)
LABELS = np.array([0, 1, 3])


def habits() -> Habits:
    share = PAST.sum(axis=0) + 1.0
    favourite = np.where(PAST.any(axis=1), PAST.argmax(axis=1), -1)
    return Habits(sparse.csr_matrix(PAST), favourite, share / share.sum())


def log_ratios(user: int, temper: float, labels: IntArray) -> tuple[FloatArray, FloatArray]:
    """Log likelihood ratio of a move of half of the favourite to each label, and how rare each label is."""
    known = habits()
    expected = PAST[user] + _PRIOR_EVENTS * known.share
    chance = expected / expected.sum()
    favourite = known.favourite[user]
    ratio = []
    for label in labels:
        moved = chance.copy()
        moved[favourite] -= _MOVED_SHARE * chance[favourite]
        moved[label] += _MOVED_SHARE * chance[favourite]
        with np.errstate(divide="ignore"):
            ratio.append(temper * float((NOW[user] * np.log(moved / chance)).sum()))
    return np.array(ratio), 1.0 / expected[labels]


def test_arrivals_are_the_likelihood_ratio_of_one_goal() -> None:
    found = habits().arrivals(sparse.csr_matrix(NOW), LABELS)
    for user in (0, 2, 3):
        ratio, _ = log_ratios(user, _TEMPER_ONE, LABELS)
        wanted = np.log1p(_MOVED_USERS * (np.exp(ratio) - 1.0))
        wanted[habits().favourite[user] == LABELS] = 0.0
        np.testing.assert_allclose(found[user], wanted, rtol=1e-6)


def test_moves_average_over_goals_the_rarer_the_more() -> None:
    found = habits().moves(sparse.csr_matrix(NOW), LABELS)
    for user in (0, 2, 3):
        ratio, rarity = log_ratios(user, _TEMPER_ANYWHERE, LABELS)
        loss = _TEMPER_ANYWHERE * NOW[user, habits().favourite[user]] * np.log(1 - _MOVED_SHARE)
        # a user who stays is what the favourite itself stands for among the goals
        ratio[habits().favourite[user] == LABELS] = loss
        mean = (rarity / rarity.sum()) @ np.exp(ratio)
        assert found[user] == pytest.approx(np.log1p(_MOVED_USERS * (mean - 1.0)))


def test_a_user_without_habits_says_nothing() -> None:
    window = sparse.csr_matrix(NOW)
    assert habits().moves(window, LABELS)[1] == 0.0
    assert not habits().arrivals(window, LABELS)[1].any()
    assert habits().favourite_events(window).tolist() == [2.0, 0.0, 6.0, 0.0]


def test_a_user_who_left_for_a_strange_category_stands_out() -> None:
    rng = np.random.default_rng(2)
    chance = rng.dirichlet(np.full(20, 0.3), 200)
    past = sparse.csr_matrix(np.stack([rng.multinomial(200, row) for row in chance]).astype(np.float32))
    known = Habits(past, past.toarray().argmax(axis=1), np.full(20, 0.05))
    movers = np.arange(200) < 50
    goal = chance.argmin(axis=1)
    after = chance.copy()
    top = chance.argmax(axis=1)
    half = chance[np.arange(200), top] / 2
    after[movers, top[movers]] -= half[movers]
    after[movers, goal[movers]] += half[movers]
    window = np.stack([rng.multinomial(40, row) for row in after]).astype(np.float32)
    evidence = known.moves(sparse.csr_matrix(window), np.arange(20))
    assert np.median(evidence[movers]) > np.quantile(evidence[~movers], 0.9)
