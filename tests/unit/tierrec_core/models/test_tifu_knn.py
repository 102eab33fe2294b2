"""TIFU-KNN against a plain loop over users, and what its two knobs mean at their ends."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tierrec_core.data.interactions import Interactions
from tierrec_core.models.tifu_knn import TifuKnn


def frequency(history, half_life):
    table = np.zeros((history.num_users, history.num_items))
    for user, item, day in zip(history.user, history.item, history.day, strict=True):
        table[user, item] += 0.5 ** ((history.now - day) / half_life)
    return table


def scores(training, history, **options):
    return TifuKnn.fit(training, TifuKnn.Config(**options)).score_catalogue(history)


@pytest.mark.parametrize(("half_life", "neighbours", "own_share"), [(30, 5, 0.7), (90, 20, 0.3), (10, 60, 0.0)])
def test_equals_a_plain_loop(training, half_life, neighbours, own_share):
    own = frequency(training.history, half_life)
    similarity = 1 - cdist(own, own, "cosine")
    expected = np.empty_like(own)
    for user in range(len(own)):
        near = np.argsort(-similarity[user])[:neighbours]
        weight = similarity[user, near] / similarity[user, near].sum()
        expected[user] = own_share * own[user] + (1 - own_share) * weight @ own[near]
    found = scores(training, training.history, half_life=half_life, neighbours=neighbours, own_share=own_share)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_own_share_one_is_personal_frequency_alone(training):
    found = scores(training, training.history, own_share=1, half_life=20)
    np.testing.assert_allclose(found, frequency(training.history, 20), rtol=1e-4, atol=1e-6)


def test_what_was_bought_lately_comes_before_what_was_bought_long_ago(training, interactions):
    basket = Interactions.from_history(["i05", "i25"], interactions.items, interactions.now)
    assert np.argmax(scores(training, basket, half_life=1 / 1440)[0]) == 25


def test_neighbours_bring_items_that_the_visitor_never_met(training, interactions):
    visitor = Interactions.from_history(["i10", "i12"], interactions.items, interactions.now)
    found = scores(training, visitor)[0]
    met = np.isin(interactions.items, ["i10", "i12"])
    assert np.argmax(np.where(met, -np.inf, found)) // 10 == 1
