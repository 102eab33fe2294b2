"""Why an answer was given: its path, why not a better one, and reasons that add up."""

from typing import Any

import pytest

from services.recommend.explain import ALIKE, COUPONS, FITS_WORDS, JUST_NOW
from tests.support.damaged_models import FACTORS, broken, campaigns_nan, lists_outside
from tests.support.open_shops import Caller, Opener, event, ids
from tierrec_core.bundle.explain import PEERS, START, TREND

pytest_plugins = ["tests.support.open_shops"]


@pytest.fixture(scope="module")
def caller(opener: Opener) -> Caller:
    return opener()


def explained(caller: Caller, answer: dict[str, Any]) -> dict[str, Any]:
    return dict(caller.told("GET", f"/explain/{answer['request_id']}"))


@pytest.mark.parametrize("task", ["next", "discovery"])
@pytest.mark.parametrize("who", [{"user_id": "u59"}, {"user_id": "u12"}, {"history": ["i11", "i12", "i13"]}])
def test_reasons_of_the_blend_add_up_to_the_score(caller: Caller, who: dict[str, Any], task: str) -> None:
    answer = caller.recommend(**who, task=task, explain=True)
    assert answer["path"] == "blend"
    for item in answer["items"]:
        assert sum(item["reasons"].values()) == pytest.approx(item["score"], abs=1e-5)
        strengths = [abs(share) for share in item["reasons"].values()]
        assert strengths == sorted(strengths, reverse=True)
    assert len(answer["items"][0]["reasons"]) > 2
    assert START in answer["items"][0]["reasons"]


def test_reasons_are_given_on_request_alone(caller: Caller) -> None:
    answer = caller.recommend(user_id="u59")
    assert all("reasons" not in item or item["reasons"] is None for item in answer["items"])


def test_an_answer_is_explained_later(caller: Caller) -> None:
    answer = caller.recommend(user_id="u59", explain=True)
    told = explained(caller, answer)
    for name in ("request_id", "surface", "path", "model_version", "experiment", "variant"):
        assert told[name] == answer[name]
    assert told["fallback"] is None
    assert [item["item_id"] for item in told["items"]] == ids(answer)
    assert [item["title"] for item in told["items"]] == [item["title"] for item in answer["items"]]
    for then, now in zip(answer["items"], told["items"], strict=True):
        assert now["reasons"] == pytest.approx(then["reasons"], abs=1e-5)


def test_another_worker_explains_it_too(start: Opener) -> None:
    one, other = start(), start()
    answer = one.recommend(user_id="u59")
    assert explained(other, answer) == explained(one, answer)
    one.shop.impressions.close()
    assert explained(other, answer)["path"] == "blend"


@pytest.mark.parametrize(
    ("surface", "body", "path", "reason"),
    [
        ("products", {}, "cold", TREND),
        ("products", {"user_id": "nobody"}, "cold", TREND),
        ("onboarding", {"history": []}, "cold", TREND),
        ("campaigns", {"user_id": "u59"}, "campaigns", COUPONS),
        ("search", {"user_id": "u59"}, "search", FITS_WORDS),
        ("similar", {}, "similar", ALIKE),
        ("rank", {"user_id": "nobody"}, "tier_prior", TREND),
    ],
)
def test_each_path_has_its_reason(caller: Caller, surface: str, body: dict[str, Any], path: str, reason: str) -> None:
    answer = caller.ask(surface, **body)
    told = explained(caller, answer)
    assert told["path"] == answer["path"] == path
    assert told["items"]
    assert {name for item in told["items"] for name in item["reasons"]} == {reason}
    assert [item["item_id"] for item in told["items"]] == ids(answer)


def test_fresh_events_are_a_reason(start: Opener) -> None:
    caller = start()
    caller.post_events(*(event(number, "u59", "i15", "cart") for number in range(5)))
    answer = caller.recommend(user_id="u59", explain=True)
    assert answer["path"] == "fold"
    reasons = {item["item_id"]: item["reasons"] for item in answer["items"]}
    assert next(iter(reasons["i15"])) == JUST_NOW
    assert JUST_NOW in explained(caller, answer)["items"][0]["reasons"]
    caller.post_events(event(1, "newcomer", "i15", "cart"))
    answer = caller.recommend(user_id="newcomer", explain=True)
    assert all(item["reasons"] for item in answer["items"])
    told = explained(caller, answer)
    assert [item["reasons"] for item in told["items"]] == [
        pytest.approx(item["reasons"], abs=1e-5) for item in answer["items"]
    ]


@pytest.mark.parametrize(
    ("damage", "body", "path", "wanted", "reason"),
    [
        ((lists_outside,), {"user_id": "u59"}, "cf", "blend", PEERS),
        ((lists_outside, *FACTORS), {"user_id": "u59"}, "tier_prior", "blend", TREND),
        ((campaigns_nan,), {"user_id": "u59", "surface": "campaigns"}, "popularity", "campaigns", TREND),
    ],
)
def test_a_fallback_is_explained(
    start: Opener, damage: Any, body: dict[str, Any], path: str, wanted: str, reason: str
) -> None:
    caller = broken(start, *damage)
    answer = caller.recommend(**body, explain=True)
    told = explained(caller, answer)
    assert (told["path"], answer["fallback"]["wanted"]) == (path, wanted)
    assert told["fallback"] == answer["fallback"]["reason"]
    assert told["fallback"].startswith(f"{wanted} failed: ")
    assert {name for item in told["items"] for name in item["reasons"]} == {reason}
    assert {name for item in answer["items"] for name in item["reasons"]} == {reason}


def test_an_answer_that_nobody_knows_is_not_found(caller: Caller) -> None:
    assert caller.send("GET", "/explain/nothing").status_code == 404
    assert caller.send("GET", "/explain/" + "0" * 300).status_code == 400
