"""A worker's memory is bounded for any number of users and item changes."""

import gc
from collections import Counter
from typing import Any

import pytest

from services.recommend.request import RequestContext
from services.recommend.user import RequestUser
from services.store import Impression
from services.store.recent_events import RecentActivity
from tests.support.open_shops import Opener, event, until

pytest_plugins = ["tests.support.open_shops"]

NUM_USERS, MAX_USERS, BATCH = 3000, 200, 500
KINDS = (Impression, RequestUser, RequestContext)


def held() -> Counter[str]:
    """Number of live objects of the kinds that requests create."""
    gc.collect()
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in KINDS)


def asked(users: list[str]) -> list[tuple[str, str, dict[str, Any]]]:
    return [("POST", "/recommend", {"json": {"user_id": user, "k": 5}}) for user in users]


@pytest.mark.slow
def test_many_users_do_not_accumulate_in_memory(start: Opener) -> None:
    caller = start()
    shop = caller.shop
    shop.activity = RecentActivity(shop.store, shop.activity.since, shop.hash_user, max_users=MAX_USERS, max_events=5)
    before = held()
    for first in range(0, NUM_USERS, BATCH):
        numbers = range(first, first + BATCH)
        caller.post_events(*(event(1, f"actor {number}", f"i{number % 40:02d}") for number in numbers))
        users = [f"visitor {number}" for number in numbers] + [f"actor {number}" for number in numbers[::50]]
        answers = caller.send_all(asked(users))
        assert {answer.status_code for answer in answers} == {200}
        assert sum(answer.json()["known_user"] for answer in answers) == len(numbers[::50])
        until(lambda: shop.impressions.num_queued == 0)
        assert len(shop.activity._events) <= MAX_USERS
        assert len(shop.activity._partial) <= MAX_USERS
    del answers
    until(lambda: held()["Impression"] <= before["Impression"] + 1)
    assert held()["RequestUser"] + held()["RequestContext"] <= before["RequestUser"] + before["RequestContext"] + 2
    assert caller.metric("tierrec_impressions_dropped_total") == 0
    assert caller.recommend(user_id="actor 0")["known_user"], "an evicted user is looked up"
    series = [line for line in caller.send("GET", "/metrics").text.splitlines() if line[0] != "#"]
    assert len(series) < 300


def test_an_item_that_changes_often_is_stored_once(start: Opener) -> None:
    caller = start()
    for number in range(30):
        caller.post_items({"item_id": "kettle", "title": "kettle", "stock": number})
        caller.recommend()
    assert len(caller.shop.activity.items_since(0)) == 1
    assert caller.told("GET", "/info")["num_items"] == 41
    assert len(caller.shop.models.champion.search.columns) == 1
    assert len(caller.shop.models.champion.factors) == 41
