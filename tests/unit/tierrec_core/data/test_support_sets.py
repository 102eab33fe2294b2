"""A newcomer's support against a loop over users."""

import numpy as np
import pytest

from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import newest_items


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_it_is_each_users_last_items_with_their_newest_events(interactions: Interactions, count: int):
    support = newest_items(interactions, count, np.random.default_rng(0))
    for user in range(interactions.num_users):
        mine, kept = interactions.user == user, support.user == user
        last = {item: interactions.day[mine & (interactions.item == item)].max() for item in interactions.item[mine]}
        newest = sorted(last.values(), reverse=True)[:count]
        assert sorted(support.day[kept], reverse=True) == newest
        assert all(last[item] == day for item, day in zip(support.item[kept], support.day[kept], strict=True))
        assert len(set(support.item[kept])) == kept.sum() == min(count, len(last))


def test_users_may_show_different_numbers(interactions: Interactions):
    count = np.arange(interactions.num_users) % 4
    support = newest_items(interactions, count, np.random.default_rng(0))
    np.testing.assert_array_equal(np.diff(support.offsets), count)


def test_chance_decides_within_a_basket(interactions: Interactions):
    basket = interactions.where(interactions.session == interactions.session[-1])
    assert len(np.unique(basket.item)) > 1
    seen = {int(newest_items(basket, 1, np.random.default_rng(seed)).item[0]) for seed in range(30)}
    assert seen == set(basket.item.tolist())
