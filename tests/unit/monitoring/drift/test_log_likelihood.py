"""The log likelihood ratios equal those of a plain loop over users."""

import numpy as np
import pytest
from scipy import sparse

from monitoring.drift.statistics.log_likelihood import _MOVED_SHARE, WindowLikelihood
from tierrec_core.base.contracts import FloatArray

KNOWN = np.array([[9, 1, 0, 0], [0, 3, 0, 0], [2, 6, 2, 0], [0, 0, 1, 7]], np.float32)
NOW = np.array([[2, 1, 3, 0], [1, 0, 0, 2], [1, 6, 0, 0], [4, 0, 0, 0]], np.float32)
FAVOURITE = np.array([0, -1, 1, 3])
LABELS = np.array([0, 1, 3])
PRIOR, MOVERS = 12.0, 0.3


def likelihood() -> WindowLikelihood:
    return WindowLikelihood(sparse.csr_matrix(NOW), sparse.csr_matrix(KNOWN), FAVOURITE, PRIOR, MOVERS)


def ratios(user: int) -> tuple[FloatArray, FloatArray]:
    """Likelihood ratio of a move of half of the favourite to each label, and how rare each label is."""
    share = KNOWN.sum(axis=0) + 1.0
    expected = KNOWN[user] + PRIOR * share / share.sum()
    chance, favourite = expected / expected.sum(), FAVOURITE[user]
    found = []
    for label in LABELS:
        moved = chance.copy()
        moved[favourite] -= _MOVED_SHARE * chance[favourite]
        moved[label] += _MOVED_SHARE * chance[favourite]
        found.append(float(np.prod((moved / chance) ** NOW[user])))
    return np.array(found), 1.0 / expected[LABELS]


def test_arrivals_are_the_likelihood_ratio_of_one_destination() -> None:
    found = likelihood().arrivals(LABELS)
    for user in (0, 2, 3):
        wanted = np.log1p(MOVERS * (ratios(user)[0] - 1.0))
        wanted[FAVOURITE[user] == LABELS] = 0.0
        np.testing.assert_allclose(found[user], wanted, rtol=1e-5)


def test_moves_average_over_destinations_weighted_by_rarity() -> None:
    found = likelihood().moves(LABELS)
    for user in (0, 2, 3):
        ratio, rarity = ratios(user)
        # a user who stays is represented by the favourite itself among the destinations
        ratio[FAVOURITE[user] == LABELS] = (1 - _MOVED_SHARE) ** NOW[user, FAVOURITE[user]]
        mean = (rarity / rarity.sum()) @ ratio
        assert found[user] == pytest.approx(np.log1p(MOVERS * (mean - 1.0)), rel=1e-5)


def test_a_user_without_a_baseline_has_log_ratio_zero() -> None:
    assert likelihood().moves(LABELS)[1] == 0.0
    assert not likelihood().arrivals(LABELS)[1].any()


def test_one_user_with_extreme_events_does_not_decide_for_all() -> None:
    window = sparse.csr_matrix(NOW * 10_000)
    ratio_of = WindowLikelihood(window, sparse.csr_matrix(KNOWN), FAVOURITE, PRIOR, MOVERS)
    assert np.isfinite(ratio_of.moves(LABELS)).all()
    assert np.isfinite(ratio_of.arrivals(LABELS)).all()


def test_a_user_who_moved_to_a_new_category_stands_out() -> None:
    rng = np.random.default_rng(2)
    chance = rng.dirichlet(np.full(20, 0.3), 200)
    known = np.stack([rng.multinomial(200, row) for row in chance]).astype(np.float32)
    movers, everyone = np.arange(200) < 50, np.arange(200)
    top, goal, after = chance.argmax(axis=1), chance.argmin(axis=1), chance.copy()
    half = np.where(movers, chance[everyone, top] / 2, 0.0)
    after[everyone, top] -= half
    after[everyone, goal] += half
    window = np.stack([rng.multinomial(40, row) for row in after]).astype(np.float32)
    made = WindowLikelihood(sparse.csr_matrix(window), sparse.csr_matrix(known), known.argmax(axis=1), 30.0, 0.2)
    ratio_of = made.moves(np.arange(20))
    assert np.median(ratio_of[movers]) > np.quantile(ratio_of[~movers], 0.9)
