"""The article's formula against three nested loops, and what the layers add."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tierrec_core.models.tier_knn import TierKnn


def fit(training, **options):
    return TierKnn.fit(training, TierKnn.Config(**options))


def behaviour(history, half_life):
    table = np.zeros((history.num_users, history.num_items))
    np.add.at(table, (history.user, history.item), 0.5 ** ((history.now - history.day) / half_life))
    return np.log1p(table)


@pytest.mark.parametrize(("neighbours", "interest_power"), [(4, 1.0), (15, 0.5), (60, 0.0)])
def test_equals_the_formula(training, neighbours, interest_power):
    rated, tiering = behaviour(training.history, 60), training.tiering
    similarity = 1 - cdist(rated, rated, "cosine")
    expected = np.zeros_like(rated)
    for user in range(len(rated)):
        near = np.argsort(-similarity[user])[:neighbours]
        for item in range(rated.shape[1]):
            interest = tiering.interests[near, tiering.item_layer[item]] ** interest_power
            expected[user, item] = (similarity[user, near] * interest * rated[near, item]).sum()
        expected[user] /= similarity[user, near].sum()
    model = fit(training, half_life=60, neighbours=neighbours, interest_power=interest_power)
    np.testing.assert_allclose(model.score_catalogue(training.history), expected, rtol=1e-3, atol=1e-5)


def test_layers_turn_the_balance_towards_what_neighbours_know(training):
    """Of two neighbours with equal purchases, the one who is at home in the item's layer counts for more."""
    weighted, plain = fit(training, interest_power=1.0), fit(training, interest_power=0.0)
    ratio = weighted.weighted.toarray()[plain.weighted.toarray() > 0] / plain.weighted.data
    own = (
        training.tiering.item_layer[plain.weighted.indices]
        == training.tiering.interests.argmax(axis=1)[plain.weighted.nonzero()[0]]
    )
    assert ratio[own].min() > ratio[~own].max()
