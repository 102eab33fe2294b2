"""Every surface answers everybody, says how it came to its answer, and shows known users what the bundle ranks."""

from collections import Counter
from typing import Any

import pandas as pd
import pytest

from tests.support.open_shops import COUPONS, SURFACES, Caller, Opener, World, ids
from tests.support.packaged_project import PROMOTED
from tierrec_core.data.interactions import from_days

pytest_plugins = ["tests.support.open_shops"]

WHO: dict[str, dict[str, Any]] = {
    "known user": {"user_id": "u59"},
    "unknown user": {"user_id": "nobody"},
    "anonymous history": {"history": ["i11", "i12", "i10"]},
    "empty history": {"history": []},
    "nothing at all": {},
}
RUNGS = {"known user": "blend", "anonymous history": "blend"}


@pytest.fixture(scope="module")
def caller(opener: Opener) -> Caller:
    return opener()


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_answers_everybody(caller: Caller, surface: str, who: str) -> None:
    if surface in ("search", "similar"):
        asked = {name: one for name, one in WHO[who].items() if name == "user_id"}
        path = surface
    else:
        asked = WHO[who]
        path = "campaigns" if surface == "campaigns" else RUNGS.get(who, "cold")
    answer = caller.ask(surface, **asked)
    if surface == "rank" and path == "cold":
        path = "tier_prior"  # of somebody unknown there is nothing to sort by but what their tier does
    assert answer["items"]
    assert answer["path"] == path
    assert answer["surface"] == surface
    assert answer["known_user"] == (who == "known user")
    assert answer["tier"] == ("heavy" if who == "known user" else "light")
    assert answer["model_version"] == "own"
    assert len(answer["request_id"]) == 32


def test_requests_have_ids_of_their_own(caller: Caller) -> None:
    assert len({caller.recommend()["request_id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_known_users_get_the_lists_that_the_bundle_ranks(caller: Caller, world: World, task: str) -> None:
    served = {user: caller.listed(user_id=user, task=task, k=20) for user in world.ranked[task]}
    assert served == world.ranked[task]


def test_an_empty_history_gets_what_most_bought_lately(caller: Caller, events: pd.DataFrame) -> None:
    until = from_days(caller.shop.models.champion.precomputed.item_tables.now)
    lately = events["timestamp"].between(until - pd.Timedelta(days=14), until, inclusive="left")
    count = Counter(events.loc[lately, "item_id"])
    by_hand = sorted((f"i{number:02d}" for number in range(40)), key=lambda item: (-count[item], item))
    assert caller.listed(k=30) == by_hand[:30]
    assert caller.listed(k=30, history=["nothing", "that we know"]) == by_hand[:30]


def test_titles_are_the_catalogues(caller: Caller, items: pd.DataFrame) -> None:
    titles = dict(zip(items["item_id"], items["title"], strict=True))
    for surface in set(SURFACES) - {"campaigns"}:
        answer = caller.ask(surface)
        assert [one["title"] for one in answer["items"]] == [titles[item] for item in ids(answer)]


def test_a_visitors_taste_shows(caller: Caller) -> None:
    listed = caller.listed(history=["i21", "i22", "i23", "i21", "i24"], task="discovery", k=3)
    assert {item[:2] for item in listed} == {"i2"}


def test_discovery_shows_nothing_that_was_met(caller: Caller) -> None:
    history = ["i10", "i11", "i12"]
    shown = caller.listed(history=history, task="discovery", k=40)
    assert not set(shown) & set(history)
    assert len(shown) == 37


def test_ads_show_promotions_and_nothing_else(caller: Caller) -> None:
    for body in WHO.values():
        assert set(caller.listed(surface="ads", **body)) == set(PROMOTED)


def test_an_item_that_is_put_on_promotion_is_an_ad_at_once(opener: Opener) -> None:
    caller = opener("promoting")
    caller.post_items({"item_id": "i05", "on_promotion": True}, {"item_id": "i03", "on_promotion": False})
    assert set(caller.listed(surface="ads")) == {"i05", "i13", "i23"}


def test_campaigns_suit_the_user(caller: Caller) -> None:
    for group, campaign in enumerate(COUPONS):
        answer = caller.recommend(surface="campaigns", user_id=f"u{56 + group}")
        assert ids(answer)[0] == campaign
        assert set(ids(answer)) <= set(COUPONS)


def test_onboarding_shows_the_breadth_of_the_shop(caller: Caller) -> None:
    shown = caller.listed(surface="onboarding", k=8)
    assert Counter(item[:2] for item in shown) == {f"i{group}": 2 for group in range(4)}
    popular = caller.listed(k=40)
    for group in range(4):
        own = [item for item in shown if item.startswith(f"i{group}")]
        assert own == [item for item in popular if item.startswith(f"i{group}")][:2]


def test_rank_sorts_the_given_items_and_adds_none(caller: Caller) -> None:
    given = ["i02", "i35", "i31", "i12", "no such item", "i31"]
    answer = caller.recommend(surface="rank", user_id="u59", items=given)
    assert sorted(ids(answer)) == ["i02", "i12", "i31", "i35"]
    assert ids(answer)[0] == "i31"
    order = caller.listed(surface="rank", user_id="u59", items=given, k=2)
    assert order == ids(answer)[:2]
    assert caller.listed(surface="rank", items=[]) == []


def test_rank_by_hand(caller: Caller) -> None:
    model = caller.shop.models.champion
    columns = model.catalogue.columns(["i31", "i02", "i12"])
    history = model.bundle.history_of("u59")
    assert history is not None
    scores = model.bundle.rerank("next", history, columns)
    answer = caller.recommend(surface="rank", user_id="u59", items=["i31", "i02", "i12"])
    by_id = {item["item_id"]: item["score"] for item in answer["items"]}
    assert by_id == pytest.approx(dict(zip(["i31", "i02", "i12"], scores.tolist(), strict=True)), abs=1e-6)


def test_search_finds_words_typos_and_interests(caller: Caller) -> None:
    assert ids(caller.ask("search", query="thing number 12"))[0] == "i12"
    assert ids(caller.ask("search", query="thnig numbr 12"))[0] == "i12"
    assert caller.ask("search", query="qqqq")["items"] == []
    for group in range(4):
        hits = ids(caller.ask("search", query="brand", user_id=f"u{56 + group}", k=5))
        assert {item[:2] for item in hits} == {f"i{group}"}


def test_similar_items_are_chosen_together(caller: Caller) -> None:
    for item in ("i01", "i11", "i21", "i31"):
        answer = caller.ask("similar", item_id=item, k=5)
        assert item not in ids(answer)
        assert {one[:2] for one in ids(answer)} == {item[:2]}
    assert caller.send("POST", "/similar", json={"item_id": "no such item"}).status_code == 400


def test_tier_tells_interests_and_churn(caller: Caller) -> None:
    told = caller.told("GET", "/users/u59/tier")
    assert told["tier"] == "heavy"
    assert max(told["interests"], key=told["interests"].get) == "group 3"
    assert sum(told["interests"].values()) == pytest.approx(1.0, abs=1e-4)
    assert 0 <= told["churn_risk"] <= 1
    assert told["known_user"]
    unknown = caller.told("GET", "/users/nobody/tier")
    assert (unknown["tier"], unknown["known_user"]) == ("light", False)
    assert caller.told("GET", "/users/a%2Fb/tier")["known_user"] is False


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"k": 0}, "k: "),
        ({"k": 101}, "k: "),
        ({"kk": 1}, "kk: "),
        ({"user_id": "a", "history": []}, "give one"),
        ({"surface": "rank"}, "items are for the surface rank"),
        ({"surface": "walls"}, "surface: "),
        ({"filter": "price <"}, "is not a condition"),
        ({"filter": "colour = 'red'"}, "'colour' is unknown"),
        ({"cursor": "abc"}, "cursor: is damaged"),
        ({"context": {"basket": "i01"}}, "context.basket: "),
        ([], "body: "),
    ],
)
def test_what_cannot_be_answered_is_refused_and_told(caller: Caller, body: Any, said: str) -> None:
    answer = caller.send("POST", "/recommend", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_info_says_what_is_served(caller: Caller) -> None:
    told = caller.told("GET", "/info")
    assert (told["bento"], told["model"], told["model_version"]) == ("tierrec:own", "tierrec-bundle:own", "own")
    assert (told["num_users"], told["num_items"], told["tasks"]) == (60, 40, ["discovery", "next"])


def test_metrics_tell_requests_by_surface_and_path(opener: Opener) -> None:
    caller = opener("counted")
    for _ in range(3):
        caller.recommend(user_id="u59")
    caller.ask("search")
    labels = {"shop": "counted", "status": "200"}
    assert caller.metric("tierrec_requests_total", surface="products", path="blend", **labels) == 3
    assert caller.metric("tierrec_requests_total", surface="search", path="search", **labels) == 1
    assert caller.metric("tierrec_request_seconds_count", surface="products") == 3
    assert caller.metric("tierrec_list_diversity_count", surface="search") == 1
    assert caller.metric("tierrec_model_info", role="champion", bento="tierrec:own") == 1
    told = caller.send("GET", "/metrics").text
    assert 'tierrec_store_lag_seconds{shop="counted"}' in told
    assert 'tierrec_store_queue{shop="counted"}' in told


def test_a_task_that_the_model_does_not_have_is_refused_and_the_known_ones_are_named(caller: Caller) -> None:
    answer = caller.send("POST", "/recommend", json={"user_id": "u01", "task": "never"})
    assert answer.status_code == 400
    assert "never" in answer.text
    assert "next" in answer.text
    assert "discovery" in answer.text
