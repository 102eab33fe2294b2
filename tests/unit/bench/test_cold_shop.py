"""Held-out users: absent from one log, whole in the other, and represented as the service represents them."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.families.cold_shop import as_anonymous_sessions, of_users, support_and_truth
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.data.support_sets import newest_items
from tierrec_core.settings import SplitSettings, TaskSettings, TimeSplit

HELD = np.array([3, 17, 40])


@pytest.fixture(scope="module")
def log(events: pd.DataFrame) -> SplitLog:
    tasks = {"next": TaskSettings(horizon_days=20, windows=1)}
    return SplitLog.cut(events, SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2), tasks)


def test_a_log_of_some_users_is_theirs_at_every_moment(log: SplitLog):
    part = of_users(log, HELD)
    for snapshot in log.snapshots:
        whole, mine = log.history(snapshot.name).select_users(HELD), part.history(snapshot.name)
        np.testing.assert_array_equal(mine.item, whole.item)
        np.testing.assert_array_equal(mine.user, whole.user)
    window = log.windows_of("next", "test")[0]
    user, item = log.truth(window)
    keep = np.isin(user, HELD)
    np.testing.assert_array_equal(part.truth(window), (np.searchsorted(HELD, user[keep]), item[keep]))


def test_evaluated_users_have_short_supports_and_their_whole_ground_truth(log: SplitLog):
    held, window = of_users(log, HELD), log.windows_of("next", "test")[0]
    support, (user, item) = support_and_truth(held, window, 2)
    assert (np.bincount(support.user) == 2).all()
    assert len(np.unique(user)) == support.num_users
    np.testing.assert_array_equal(item, held.truth(window)[1])


def test_an_anonymous_session_equals_the_services(interactions: Interactions):
    support = newest_items(interactions, 4, np.random.default_rng(0))
    visits = as_anonymous_sessions(support)
    for user in (0, 30):
        one = visits.select_users(np.array([user]))
        ids = support.items[support.item[support.user == user]]
        expected = Interactions.from_history(ids, support.items, support.now)
        for name in ("item", "day", "value", "quantity", "coupon", "event"):
            np.testing.assert_allclose(getattr(one, name), getattr(expected, name))
        assert len(np.unique(one.session)) == 1
