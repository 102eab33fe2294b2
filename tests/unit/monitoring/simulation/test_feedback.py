"""Simulated users convert with the model's probabilities, at the same depths for every list."""

import numpy as np
import pytest

from monitoring.simulation.replay import SimulatedOutcomes, compare_outcomes, simulate_outcomes

_USERS = np.arange(20_000)


@pytest.mark.parametrize("rank", [1, 2, 5, 10])
def test_one_wanted_item_at_a_rank_converts_with_the_examination_probability(rank):
    hits = np.zeros((len(_USERS), 10), bool)
    hits[:, rank - 1] = True
    chance = 1 / np.log2(rank + 1)
    found = simulate_outcomes(_USERS, hits, len(_USERS), (1, 2)).rate
    assert abs(found - chance) <= 4 * np.sqrt(chance * (1 - chance) / len(_USERS)) + 1e-12


def test_a_better_list_never_converts_fewer_of_the_same_users():
    rng = np.random.default_rng(0)
    worse = rng.random((len(_USERS), 10)) < 0.1
    better = worse | (rng.random(worse.shape) < 0.05)
    first, second = (simulate_outcomes(_USERS, hits, len(_USERS), (3,)).converted for hits in (worse, better))
    assert (second >= first).all()
    assert second.sum() > first.sum()


def test_a_list_without_hits_never_converts():
    assert simulate_outcomes(_USERS, np.zeros((len(_USERS), 10), bool), len(_USERS), (4,)).rate == 0


def test_two_windows_are_compared_over_the_users_of_both():
    before = SimulatedOutcomes(np.array([1, 3, 4]), np.array([True, True, False]))
    after = SimulatedOutcomes(np.array([0, 3, 4, 9]), np.array([True, False, True, True]))
    online = compare_outcomes("day 7", before, after)
    assert online.versions == ("day 7",)
    np.testing.assert_array_equal(online.shown_before, [[1, 1]])
    np.testing.assert_array_equal(online.converted_before, [[1, 0]])
    np.testing.assert_array_equal(online.converted_after, [[0, 1]])
