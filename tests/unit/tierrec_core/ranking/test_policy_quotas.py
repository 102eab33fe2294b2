"""Places: quotas hold for every list and every prefix of it, and a capped item stays where it stands highest."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.ranking.policy.quotas import CandidatePool, Quotas, fill_positions

seeds = st.integers(0, 2**32 - 1)
WIDTH, USERS, CATALOGUE = 24, 6, 30


def a_pool(seed: int) -> CandidatePool:
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(CATALOGUE)[:WIDTH] for _ in range(USERS)])
    draws = np.where(rng.random(items.shape) < 0.5, rng.random(items.shape), -1.0)
    seen = rng.random(items.shape) < 0.5
    return CandidatePool(items, rng.random(items.shape) < 0.9, seen, items % 5, np.where(seen, -1.0, draws))


def no_quotas(users: int = USERS) -> Quotas:
    nobody = np.zeros(users, int)
    return Quotas(0, np.ones(users), np.zeros(users), nobody + users, nobody, exposed=8)


@given(seeds)
def test_without_quotas_the_first_allowed_have_the_places(seed: int):
    pool = a_pool(seed)
    chosen = fill_positions(pool, no_quotas(), 10)
    for row in range(USERS):
        assert chosen[row].tolist() == np.flatnonzero(pool.allowed[row])[:10].tolist()


@given(seeds, st.sampled_from([0.0, 0.25, 0.5, 0.8]))
def test_repeats_fill_at_most_their_share_of_every_prefix(seed: int, share: float):
    pool = a_pool(seed)
    chosen = fill_positions(pool, replace(no_quotas(), repeats=np.full(USERS, share)), WIDTH)
    for row, places in enumerate(chosen):
        seen = np.cumsum(pool.seen[row, places[places >= 0]])
        assert (seen <= np.ceil(share * np.arange(1, len(seen) + 1) - 1e-9)).all()


@given(seeds)
def test_every_fifth_place_is_the_trial_of_the_highest_lot(seed: int):
    pool = a_pool(seed)
    chosen = fill_positions(pool, replace(no_quotas(), exploration=np.full(USERS, 0.2)), 10)
    for row, places in enumerate(chosen):
        for place in (4, 9):
            left = np.setdiff1d(np.flatnonzero(pool.allowed[row]), places[:place])
            draws = pool.draws[row, left]
            expected = left[draws.argmax()] if draws.max() >= 0 else left[0]
            assert places[place] == expected


@given(seeds, st.integers(1, 3))
def test_a_capped_item_is_kept_where_it_stands_highest(seed: int, most: int):
    pool = a_pool(seed)
    quotas = replace(no_quotas(), max_lists=np.full(USERS, most))
    chosen = fill_positions(pool, quotas, 12)
    listed = np.where(chosen >= 0, np.take_along_axis(pool.items, chosen, axis=1), -1)
    shown = listed[:, : quotas.exposed]
    assert np.bincount(shown[shown >= 0]).max() <= most
    for row in range(USERS):
        for which in np.flatnonzero(pool.allowed[row]):
            item, last = pool.items[row, which], chosen[row, quotas.exposed - 1]
            if item not in shown[row] and (last < 0 or which < last):
                holders = [np.flatnonzero(shown[one] == item) for one in range(USERS)]
                assert sum(len(place) for place in holders) == most, "it was refused only where it is held"


def test_caps_count_each_group_alone():
    nowhere = np.zeros((4, 2), bool)
    pool = CandidatePool(np.tile([7, 8], (4, 1)), ~nowhere, nowhere, nowhere.astype(int), np.full((4, 2), -1.0))
    quotas = replace(no_quotas(4), group=np.array([0, 0, 1, 1]), max_lists=np.array([1, 1, 2, 2]), exposed=1)
    assert fill_positions(pool, quotas, 2).tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]


@given(seeds, st.integers(1, 3))
def test_a_longer_list_begins_as_a_shorter_one(seed: int, most: int):
    pool = a_pool(seed)
    shares = {"repeats": np.full(USERS, 0.5), "exploration": np.full(USERS, 0.25)}
    quotas = replace(no_quotas(), max_per_category=most + 1, max_lists=np.full(USERS, most), **shares)
    np.testing.assert_array_equal(fill_positions(pool, quotas, 16)[:, :9], fill_positions(pool, quotas, 9))
