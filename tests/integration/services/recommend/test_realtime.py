"""What is posted now is in the next answer, in every worker, without retraining."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.store import PostedItem
from tests.support.open_shops import LOOK_SECONDS, SURFACES, Caller, Opener, event, ids
from tierrec_core.data.interactions import from_days

pytest_plugins = ["tests.support.open_shops"]

KETTLE = {
    "item_id": "kettle",
    "title": "Copper kettle",
    "category": "group 1",
    "brand": "brand 0",
    "price": 12.5,
    "attributes": {"colour": "copper", "litres": 1.5},
}


@pytest.fixture
def workers(start: Opener) -> tuple[Caller, Caller]:
    """Two workers of one shop."""
    return start(), start()


def test_an_event_changes_the_next_answer_in_every_worker(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    before = one.recommend(user_id="u59")
    assert before["path"] == "blend"
    one.post_events(event(1, "u59", "i15", "cart"))
    after = [caller.recommend(user_id="u59") for caller in workers]
    assert [answer["path"] for answer in after] == ["fold", "fold"]
    assert ids(after[0]) == ids(after[1]) != ids(before)
    assert "i15" in ids(after[0])
    assert other.listed(user_id="u58") == one.listed(user_id="u58"), "nobody else is moved"
    assert other.recommend(user_id="u58")["path"] == "blend"


@pytest.mark.parametrize("surface", sorted({*SURFACES} - {"campaigns", "similar"}))
def test_an_event_reaches_every_surface(workers: tuple[Caller, Caller], surface: str) -> None:
    one, other = workers
    before = other.ask(surface, user_id="u59", k=40)
    one.post_events(*(event(number, "u59", "i23", "cart") for number in range(5)))
    after = other.ask(surface, user_id="u59", k=40)
    assert sorted(ids(after)) == sorted(ids(before))
    assert ids(after).index("i23") < ids(before).index("i23")


@pytest.mark.parametrize(("name", "group"), [("view", 0), ("cart", 1), ("favourite", 2)])
def test_a_new_interest_is_at_the_top_within_one_request(start: Opener, name: str, group: int) -> None:
    caller = start()
    assert not {item for item in caller.listed(user_id="u59") if item.startswith(f"i{group}")}
    acts = [event(number, "u59", f"i{group}{number}", name) for number in range(6)]
    caller.post_events(*acts)
    shown = caller.listed(user_id="u59", k=10)
    assert len([item for item in shown if item.startswith(f"i{group}")]) >= 4
    alike = {f"i{group}{number}" for number in range(6, 10)}
    assert alike & set(caller.listed(user_id="u59", k=10, exclude=[one["item_id"] for one in acts]))


def test_somebody_new_is_known_by_what_they_do(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    assert one.recommend(user_id="newcomer")["path"] == "cold"
    one.post_events(event(1, "newcomer", "i25", "view"), event(2, "newcomer", "i26", "cart"))
    answer = other.recommend(user_id="newcomer", k=5)
    assert (answer["path"], answer["known_user"]) == ("blend", True)
    assert {item[:2] for item in ids(answer)} == {"i2"}
    history = other.listed(history=["i25", "i26"], k=5)
    assert len({*history} & {*ids(answer)}) >= 3, "much as for a visitor who took the same"


def test_a_stronger_act_moves_more(start: Opener) -> None:
    scores = {}
    for name in ("view", "click", "cart"):
        caller = start(name)
        caller.post_events(event(1, "u59", "i15", name))
        shown = caller.recommend(user_id="u59", k=40)["items"]
        scores[name] = next(item["score"] for item in shown if item["item_id"] == "i15")
    intent = start().shop.models.champion.precomputed.item_tables.boost_weights
    assert intent["view"] < intent["click"] < intent["cart"]
    assert scores["view"] < scores["click"] < scores["cart"]


def test_a_retried_post_counts_once(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    acts = [event(number, "u59", "i15", "view") for number in range(3)]
    assert one.post_events(*acts) == {"accepted": 3, "duplicates": 0}
    before = one.recommend(user_id="u59")
    assert other.post_events(*acts) == {"accepted": 0, "duplicates": 3}
    assert one.post_events(*acts, event(9, "u58", "i15")) == {"accepted": 1, "duplicates": 3}
    after = other.recommend(user_id="u59")
    assert ids(after) == ids(before)
    scores = [[item["score"] for item in answer["items"]] for answer in (before, after)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    told = one.metric("tierrec_events_total", event="view", status="accepted")
    assert told + other.metric("tierrec_events_total", event="view", status="accepted") == 4


def test_what_was_sent_back_was_not_bought(start: Opener) -> None:
    caller = start()
    before = caller.recommend(user_id="u59", k=40)
    caller.post_events(event(1, "u59", "i15", "purchase"), event(2, "u59", "i16", "view"))
    assert "i15" not in caller.listed(user_id="u59", k=40), "it was just bought"
    caller.post_events(event(3, "u59", "i15", "purchase", quantity=-1), event(4, "u58", "i15", "purchase", quantity=-1))
    viewed = caller.recommend(user_id="u59", k=40)
    assert sorted(ids(viewed)) == sorted(ids(before))
    assert (viewed["path"], caller.recommend(user_id="u58")["path"]) == ("fold", "blend")
    caller.post_events(event(5, "u59", "i15", "purchase"))
    assert "i15" not in caller.listed(user_id="u59", k=40)


def test_old_events_are_in_the_model_already(start: Opener) -> None:
    caller = start()
    newest = from_days(caller.shop.models.champion.precomputed.item_tables.now)
    old, late = newest - timedelta(days=2, hours=1), newest - timedelta(hours=23)
    caller.post_events(event(1, "u59", "i15", "purchase", timestamp=old.isoformat()))
    assert caller.recommend(user_id="u59")["path"] == "blend"
    caller.post_events(event(2, "u59", "i15", "cart", timestamp=late.isoformat()))
    assert caller.recommend(user_id="u59")["path"] == "fold", "it may have come after the training"


def test_old_events_of_items_that_no_model_knows_are_kept(start: Opener) -> None:
    caller = start()
    caller.post_items({"item_id": "new", "title": "New"})
    old = caller.shop.models.champion.trained_until - timedelta(days=9)
    caller.post_events(event(1, "u59", "new", "purchase", timestamp=old.isoformat()))
    for worker in (caller, start()):
        assert [one.item_id for one in worker.shop.activity.events_of("u59")] == ["new"]
        assert worker.recommend(user_id="u59")["path"] == "fold"


def test_an_event_fades(start: Opener) -> None:
    caller = start()
    places = {}
    for user, days in (("u55", 30), ("u59", 0)):
        before = caller.listed(user_id=user, k=40).index("i15")
        at = datetime.now(UTC) - timedelta(days=days)
        caller.post_events(event(1, user, "i15", "cart", timestamp=at.isoformat()))
        places[user] = before - caller.listed(user_id=user, k=40).index("i15")
    assert places["u55"] == 0
    assert places["u59"] > 0


def test_the_cart_is_folded_in_and_not_shown(start: Opener) -> None:
    caller = start()
    shown = caller.listed(user_id="u59", context={"basket": ["i20", "i21", "i22"]})
    assert not {"i20", "i21", "i22"} & set(shown)
    assert len([item for item in shown if item.startswith("i2")]) >= 3
    assert [item[:2] for item in caller.listed(context={"basket": ["i20", "i21"]}, k=3)] == ["i2"] * 3


def test_a_worker_that_starts_later_knows_what_was_posted(start: Opener) -> None:
    caller = start()
    caller.post_items(KETTLE)
    caller.post_users({"user_id": "newcomer", "attributes": {"plan": "gold"}})
    caller.post_events(event(1, "newcomer", "i25", "view"))
    later = start()
    assert later.listed(user_id="newcomer") == caller.listed(user_id="newcomer")
    assert ids(later.ask("search", query="copper kettle"))[0] == "kettle"


def test_a_new_item_is_served_within_one_request(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    assert one.post_items(KETTLE) == {"accepted": 1, "duplicates": 0}
    for caller in (other, one):
        found = caller.ask("search", query="coper ketle")
        assert (found["items"][0]["item_id"], found["items"][0]["title"]) == ("kettle", "Copper kettle")
        given = ["i35", "kettle", "i05"]
        assert sorted(caller.listed(surface="rank", user_id="u57", items=given)) == sorted(given)
        alike = ids(caller.ask("similar", item_id="kettle", k=10))
        assert len([item for item in alike if item.startswith("i1")]) > 5
        assert "kettle" in ids(caller.ask("similar", item_id="i11", k=40))
        assert caller.listed(user_id="u57", filter="colour = 'copper' and litres > 1") == ["kettle"]
        assert "kettle" in caller.listed(user_id="u57", k=15), "its category is what they buy"
        assert "kettle" not in caller.listed(user_id="u59", k=15), "it is not"
        assert caller.told("GET", "/info")["num_items"] == 41


def test_what_is_done_to_a_new_item_counts(start: Opener) -> None:
    caller = start()
    caller.post_items(KETTLE)
    caller.post_events(*(event(number, "u59", "kettle", "cart") for number in range(4)))
    caller.post_events(event(1, "newcomer", "kettle", "view"))
    shown = caller.listed(user_id="u59", k=12)
    assert "kettle" in shown
    assert len([item for item in shown if item.startswith("i1")]) >= 2
    answer = caller.recommend(user_id="newcomer", k=4)
    assert "kettle" in ids(answer)
    assert {item[:2] for item in ids(answer)} == {"i1", "ke"}


def test_new_facts_of_an_item_hold_at_once(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    one.post_items({"item_id": "i31", "title": "Velvet curtain", "price": 7.0})
    assert other.recommend(user_id="u59", filter="price = 7 and title = 'Velvet curtain'")["items"]
    assert other.recommend(user_id="u59", k=3, filter="category = 'group 3'")["items"]
    assert ids(other.ask("search", query="velvet"))[0] == "i31"
    other.post_items({"item_id": "i31", "stock": 0})
    for surface in sorted({*SURFACES} - {"campaigns"}):
        assert "i31" not in ids(one.ask(surface, user_id="u59", k=40))
    other.post_items({"item_id": "i31", "stock": 5})
    assert "i31" in one.listed(user_id="u59")
    assert ids(one.ask("search", query="velvet"))[0] == "i31", "what a post leaves out stays"


@pytest.mark.parametrize("field", ["stock", "available_until"])
def test_a_fact_can_be_taken_back(start: Opener, field: str) -> None:
    caller = start()
    value: Any = 0 if field == "stock" else "2020-01-01T00:00:00Z"
    caller.post_items({"item_id": "i31", field: value})
    assert "i31" not in caller.listed(user_id="u59", k=40)
    caller.post_items({"item_id": "i31", field: None})
    assert "i31" in caller.listed(user_id="u59", k=40)


def test_facts_that_do_not_fit_are_refused_before_they_do_harm(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    for number, value in enumerate((1.5, "wide", True)):
        body = {"items": [{"item_id": f"new{number}", "title": "x", "attributes": {"width": value}}]}
        answer = (one, other)[number % 2].send("POST", "/items", json=body)
        assert answer.status_code == (200 if number == 0 else 400), answer.text
    two = [{"item_id": "p", "attributes": {"w": 1.0}}, {"item_id": "q", "attributes": {"w": "wide"}}]
    assert one.send("POST", "/items", json={"items": two}).status_code == 400
    for caller in workers:
        assert caller.listed(filter="width > 1") == ["new0"]
        assert caller.told("GET", "/info")["num_items"] == 41


def test_workers_that_disagree_on_a_fact_go_on_answering(workers: tuple[Caller, Caller]) -> None:
    posts = [PostedItem("kettle", {"width": 1.5}), PostedItem("lamp", {"width": "wide"})]
    for caller, post in zip(workers, posts, strict=True):  # as if neither had heard of the other's
        caller.shop.store.put_items([post])
    for caller in workers:
        assert "kettle" in caller.listed(k=50)
        assert caller.post_items({"item_id": "i31", "stock": 0})["accepted"] == 1
        assert "i31" not in caller.listed(k=50)


def test_new_users_are_known_with_their_attributes(workers: tuple[Caller, Caller]) -> None:
    one, other = workers
    one.shop.folder.joinpath("rules.yaml").write_text(
        "rules:\n- {scope: {segments: {plan: gold}}, exclude: category = 'group 0'}\n"
    )
    time.sleep(LOOK_SECONDS)
    before = other.recommend(user_id="newcomer", k=40)
    assert (before["known_user"], len(before["items"])) == (False, 40)
    one.post_users({"user_id": "newcomer", "attributes": {"plan": "gold"}})
    answer = other.recommend(user_id="newcomer", k=40)
    assert (answer["known_user"], answer["path"]) == (True, "cold")
    assert ids(answer) == [item for item in ids(before) if not item.startswith("i0")]
    one.post_users({"user_id": "newcomer", "attributes": {"city": "Ulm"}})
    assert ids(other.recommend(user_id="newcomer", k=40)) == ids(answer), "what is left out stays"
    one.post_users({"user_id": "newcomer", "attributes": {"plan": "silver"}})
    assert ids(other.recommend(user_id="newcomer", k=40)) == ids(before)


def test_lists_go_on_while_items_are_posted(start: Opener) -> None:
    caller = start()
    requests: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(30):
        item = {"item_id": f"new{number}", "title": f"lamp {number}", "category": "group 3"}
        requests += [
            ("POST", "/items", {"json": {"items": [item]}}),
            ("POST", "/recommend", {"json": {"user_id": "u59", "k": 50}}),
            ("POST", "/search", {"json": {"query": "lamp"}}),
            ("POST", "/recommend", {"json": {"surface": "rank", "user_id": "u57", "items": ["i31", "new0"]}}),
            ("POST", "/similar", {"json": {"item_id": "i31", "k": 50}}),
        ]
    answers = caller.send_all(requests)
    assert {answer.status_code for answer in answers} == {200}
    assert caller.metric("tierrec_fallbacks_total") == 0
    assert len([item for item in ids(caller.ask("search", query="lamp", k=40)) if "new" in item]) == 30


def test_a_redemption_is_as_old_as_its_timestamp(start: Opener) -> None:
    caller = start()
    for user, days in (("u53", 0), ("u57", 30)):
        at = datetime.now(UTC) - timedelta(days=days)
        caller.post_events(event(1, user, "c1", "redeem", timestamp=at.isoformat()))
        answer = caller.recommend(surface="campaigns", user_id=user)
        model = caller.shop.models.champion
        campaigns, history = model.precomputed.campaigns, model.bundle.history_of(user)
        now = datetime.now(UTC).timestamp() / 86_400
        redemptions = campaigns.redemptions_of(user, [("c1", now - max(days, 1e-3))], now)
        expected = dict(zip(campaigns.campaigns, campaigns.score(history, redemptions)[0], strict=True))
        served = {item["item_id"]: item["score"] for item in answer["items"]}
        assert served == pytest.approx(expected, abs=1e-4)
