"""Deleted items and attributes vanish from every answer of every worker, also after a restart and in a copy."""

import pytest

from services.store import Store
from tests.support.open_shops import SURFACES, Caller, Opener, event, ids
from tests.support.postgres import new_schema

pytest_plugins = ["tests.support.open_shops", "tests.support.stores"]

KETTLE = {"item_id": "kettle/new", "title": "red kettle", "category": "group 1", "brand": "B", "price": 5.0}
QUOTED = "kettle%2Fnew"


@pytest.fixture(params=["sqlite", "postgresql"])
def workers(request: pytest.FixtureRequest, start: Opener) -> tuple[Caller, Caller]:
    """Two workers of one shop."""
    start.keyed = True
    url = "" if request.param == "sqlite" else new_schema(request.getfixturevalue("postgres"))
    return start(store_url=url), start(store_url=url)


def lists(caller: Caller) -> dict[str, list[str]]:
    """The list of every surface, as long as it may be."""
    return {surface: ids(caller.ask(surface, user_id="u59", k=40)) for surface in SURFACES}


def test_a_posted_item_is_gone_everywhere_until_it_is_posted_again(
    workers: tuple[Caller, Caller], start: Opener
) -> None:
    one, other = workers
    one.post_items(KETTLE)
    num_items = other.told("GET", "/info")["num_items"]
    assert "kettle/new" in ids(other.ask("search", query="red kettle"))
    assert one.told("DELETE", f"/items/{QUOTED}") == {"deleted": 1}
    for caller in (other, one, start(store_url=one.shop.store.database.engine.url.render_as_string(False))):
        assert "kettle/new" not in ids(caller.ask("search", query="red kettle"))
        assert caller.recommend(surface="rank", items=["kettle/new"])["items"] == []
        assert caller.send("POST", "/similar", json={"item_id": "kettle/new"}).status_code == 400
        assert caller.told("GET", "/info")["num_items"] == num_items - 1
    assert one.told("DELETE", f"/items/{QUOTED}") == {"deleted": 0}
    other.post_items({"item_id": "kettle/new", "title": "blue kettle"})
    for caller in (one, other, start(store_url=one.shop.store.database.engine.url.render_as_string(False))):
        assert "kettle/new" in ids(caller.ask("search", query="blue kettle"))
        ranked = {"surface": "rank", "items": ["kettle/new"]}
        assert ids(caller.recommend(**ranked)) == ["kettle/new"]
        assert caller.recommend(**ranked, filter="price is not null or brand = 'B'")["items"] == [], "of the first post"


def test_an_id_in_a_path_has_the_form_of_one_in_a_body(start: Opener) -> None:
    start.keyed = True
    caller = start()
    blank, no_break = "\u200b", "\xa0 "
    for written, quoted in ((blank, "%E2%80%8B"), (no_break, "%C2%A0%20"), ("A\xa0 1", "A%C2%A0%201")):
        caller.post_items({"item_id": written, "title": "T"})
        caller.post_users({"user_id": written, "attributes": {"x": 1}})
        assert caller.told("DELETE", f"/items/{quoted}") == {"deleted": 1}
        assert caller.told("DELETE", f"/user-attributes/{quoted}") == {"deleted": 1}
        caller.post_events(event(len(quoted), written, "i01"))
        erased = caller.send("DELETE", f"/users/{quoted}").json()
        assert (erased["events"], erased["users"]) == (1, 0), "the attributes were deleted before"
        assert caller.send("GET", f"/users/{quoted}/tier").status_code == 200
    assert {item.item_id for item in caller.shop.store.items_after(0, 9)} == {blank, no_break, "A 1"}


def test_an_item_of_the_models_is_hidden_and_has_its_own_attributes_again(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    before = lists(one)
    victim = before["products"][0]
    one.post_items({"item_id": victim, "category": "sale", "attributes": {"colour": "red"}})
    ranked = {"surface": "rank", "items": [victim], "filter": "category = 'sale' and colour = 'red'"}
    assert ids(other.recommend(**ranked)) == [victim]
    assert one.told("DELETE", f"/items/{victim}") == {"deleted": 1}
    for caller in (other, one):
        assert all(victim not in shown for shown in lists(caller).values())
        assert all(shown for shown in lists(caller).values())
    other.post_items({"item_id": victim})
    for caller in (one, other):
        assert lists(caller) == before
        assert caller.recommend(**ranked)["items"] == []


def test_what_happens_between_two_looks_of_a_worker_is_applied_in_order(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    posted = {"item_id": "i15", "attributes": {"colour": "red"}}
    one.post_items(posted)
    ranked = {"surface": "rank", "items": ["i15"], "filter": "colour = 'red'"}
    assert ids(other.recommend(**ranked)) == ["i15"]
    one.told("DELETE", "/items/i15")
    one.post_items({"item_id": "i15"})
    for caller in (other, one):
        assert caller.recommend(**ranked)["items"] == []
        assert ids(caller.recommend(surface="rank", items=["i15"])) == ["i15"]


def test_a_campaign_can_be_deleted(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    shown = ids(other.ask("campaigns", user_id="u59"))
    assert one.told("DELETE", f"/items/{shown[0]}") == {"deleted": 0}
    assert ids(other.ask("campaigns", user_id="u59")) == shown[1:]


def test_posted_attributes_of_a_user_are_deleted_and_nothing_else(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    one.post_users({"user_id": "a/attributes", "attributes": {"plan": "gold"}})
    one.post_events(event(1, "a/attributes", "i15"))
    assert other.shop.store.users_after(0, 10)[0].attributes == {"plan": "gold"}
    other.recommend(user_id="a/attributes")
    assert other.shop.activity.attributes_of("a/attributes") == {"plan": "gold"}
    assert one.told("DELETE", "/user-attributes/a%2Fattributes") == {"deleted": 1}
    assert one.told("DELETE", "/user-attributes/a%2Fattributes") == {"deleted": 0}
    assert one.told("DELETE", "/user-attributes/nobody") == {"deleted": 0}
    for caller in workers:
        assert caller.recommend(user_id="a/attributes")["known_user"]
        assert caller.shop.activity.attributes_of("a/attributes") is None
    assert [user.user_id for user in one.shop.store.users_after(0, 10)] == ["a/attributes"], "nobody's id is not kept"
    other.post_users({"user_id": "a/attributes", "attributes": {"age": 3}})
    one.recommend()
    assert one.shop.activity.attributes_of("a/attributes") == {"age": 3}


def test_deletions_travel_by_export_and_import(workers: tuple[Caller, Caller], start: Opener) -> None:
    one, _ = workers
    copy = start("copy")
    users = [{"user_id": name, "attributes": {"plan": "gold"}} for name in ("ann", "bob")]
    for caller in (one, copy):
        caller.post_items(KETTLE, {"item_id": "i15", "price": 3.0})
        caller.post_users(*users)
    one.told("DELETE", f"/items/{QUOTED}")
    one.told("DELETE", "/items/i16")
    one.told("DELETE", "/user-attributes/ann")
    for kind in ("items", "users"):
        for form in ("jsonl", "parquet"):
            exported = one.send("GET", f"/export/{kind}", params={"format": form})
            assert exported.status_code == 200
            if form == "jsonl":
                headers = {"content-type": "application/x-ndjson"}
                answer = copy.told("POST", f"/import/{kind}", content=exported.content, headers=headers)
                assert answer["rejected"] == 0
    assert attributes(copy.shop.store) == attributes(one.shop.store)
    assert all("i16" not in shown and "kettle/new" not in shown for shown in lists(copy).values())


def attributes(store: Store) -> dict[str, object]:
    posts = [*store.items_after(0, 10), *store.users_after(0, 10)]
    return {getattr(post, "item_id", None) or post.user_id: post.attributes for post in posts}
