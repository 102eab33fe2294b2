"""Models that really fail: the next strategy ranks, the failure is counted and logged, and no request fails."""

import contextlib
import json
import sqlite3
from collections import Counter
from typing import Any

import pytest

from tests.support.damaged_models import (
    FACTORS,
    POPULARITY,
    PRIOR,
    Damage,
    boost_outside,
    broken,
    campaigns_nan,
    lists_nan,
    lists_outside,
    model_lost,
    search_without_vectors,
)
from tests.support.open_shops import SURFACES, Caller, Opener, event, ids

pytest_plugins = ["tests.support.open_shops"]

KNOWN, VISITOR, NEWCOMER = {"user_id": "u59"}, {"history": ["i31", "i32"]}, {}
CASES: dict[str, tuple[tuple[Damage, ...], dict[str, Any], str, list[str]]] = {
    "shelf": ((lists_outside,), KNOWN, "cf", ["blend"]),
    "shelf of no numbers": ((lists_nan,), KNOWN, "cf", ["blend"]),
    "factors": ((lists_outside, *FACTORS), KNOWN, "tier_prior", ["blend", "cf"]),
    "prior": ((lists_outside, *FACTORS, PRIOR), KNOWN, "popularity", ["blend", "cf", "tier_prior"]),
    "models": ((model_lost,), VISITOR, "cf", ["blend"]),
    "models and factors": ((model_lost, *FACTORS), VISITOR, "tier_prior", ["blend", "cf"]),
    "popularity": ((POPULARITY,), NEWCOMER, "tier_prior", ["cold"]),
    "cart": ((boost_outside,), KNOWN | {"context": {"basket": ["i15"]}}, "cf", ["fold"]),
    "campaigns": ((campaigns_nan,), KNOWN | {"surface": "campaigns"}, "popularity", ["campaigns"]),
    "ads": ((lists_outside,), KNOWN | {"surface": "ads"}, "cf", ["blend"]),
    "onboarding": ((lists_outside,), KNOWN | {"surface": "onboarding"}, "cf", ["blend"]),
    "rank": ((model_lost,), KNOWN | {"surface": "rank", "items": ["i01", "i31"]}, "cf", ["blend"]),
}


def steps(caller: Caller) -> Counter[str]:
    """How often each strategy was counted as failing."""
    counts: Counter[str] = Counter()
    for sample in caller.samples("tierrec_fallbacks_total"):
        counts[sample.labels["from"]] += int(sample.value)
    return +counts


@pytest.mark.parametrize("case", CASES)
def test_a_failing_strategy_runs_once_and_is_logged(
    start: Opener, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    damage, body, path, failing = CASES[case]
    caller = broken(start, *damage)
    answer = caller.recommend(**body)
    assert answer["items"]
    assert answer["path"] == path
    assert answer["fallback"]["wanted"] == failing[0]
    assert answer["fallback"]["reason"].startswith(f"{failing[0]} failed: ")
    assert steps(caller) == dict.fromkeys(failing, 1)
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    failures = [line for line in told if line["event"] == "failure"]
    assert [line["strategy"] for line in failures if "strategy" in line] == failing
    assert all("exc_info" in line for line in failures)


@pytest.mark.parametrize("case", CASES)
def test_a_list_from_below_is_still_a_full_one(start: Opener, case: str) -> None:
    damage, body, _, failing = CASES[case]
    caller, whole = broken(start, *damage), start()
    answers = [one.recommend(**body, **({} if "items" in body else {"k": 40})) for one in (caller, whole)]
    assert sorted(ids(answers[0])) == sorted(ids(answers[1]))
    assert all(isinstance(item["score"], float) for item in answers[0]["items"])
    assert steps(caller) == dict.fromkeys(failing, 1)


def test_the_blend_is_asked_again_by_the_next_request(start: Opener) -> None:
    caller = broken(start, lists_outside)
    for _ in range(3):
        caller.recommend(user_id="u59")
    assert steps(caller) == {"blend": 3}
    labels = {"surface": "products", "to": "cf", "shop": "default"}
    assert caller.metric("tierrec_fallbacks_total", **labels) == 3
    assert caller.metric("tierrec_requests_total", path="cf", status="200") == 3


def test_when_everything_fails_the_list_is_empty(start: Opener) -> None:
    caller = broken(start, lists_outside, *FACTORS, PRIOR, POPULARITY)
    answer = caller.recommend(user_id="u59")
    assert (answer["items"], answer["cursor"]) == ([], None)
    assert answer["fallback"]["wanted"] == "blend"


def test_similar_falls_back_on_factors(start: Opener) -> None:
    answer = broken(start, boost_outside).ask("similar", item_id="i31", k=5)
    assert answer["path"] == "cf"
    assert {item[:2] for item in ids(answer)} == {"i3"}
    assert answer["fallback"]["wanted"] == "similar"


def test_a_failing_search_is_no_error(start: Opener) -> None:
    caller = broken(start, search_without_vectors)
    answer = caller.ask("search", user_id="u59")
    assert answer["fallback"]["wanted"] == "search"
    assert answer["fallback"]["reason"].startswith("search failed: ")
    assert steps(caller) == {"search": 1}


def test_a_strategy_without_items_is_reported_and_is_no_failure(start: Opener) -> None:
    caller = start()
    answer = caller.recommend(user_id="u59", filter="price < 0")
    assert (answer["items"], answer["fallback"]["reason"]) == ([], "blend has nothing for this request")
    assert steps(caller) == {}


def test_a_short_list_is_filled_from_below(start: Opener) -> None:
    caller = start()
    near = set(caller.listed(history=["i31"], k=3))
    assert len(caller.listed(history=["i31"], k=40)) == 40
    assert near <= set(caller.listed(history=["i31"], k=40)[:3])
    assert len(caller.listed(surface="rank", user_id="u59", items=[f"i{n:02d}" for n in range(40)])) == 40


@pytest.mark.parametrize("who", [KNOWN, VISITOR, NEWCOMER])
def test_reasons_may_fail_without_harm(start: Opener, who: dict[str, Any]) -> None:
    caller = broken(start, model_lost)
    answer = caller.recommend(**who, explain=True)
    assert len(answer["items"]) == 10
    assert all(item["reasons"] for item in answer["items"])
    told = caller.told("GET", f"/explain/{answer['request_id']}")
    assert told["path"] == answer["path"]
    assert [item["item_id"] for item in told["items"]] == ids(answer)


def test_a_tier_is_told_without_the_models(start: Opener) -> None:
    caller = broken(start, model_lost)
    assert caller.told("GET", "/users/u59/tier")["tier"] == "heavy"
    caller.post_events(event(1, "newcomer", "i31", "purchase"))
    assert caller.told("GET", "/users/newcomer/tier")["known_user"]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("who", [KNOWN, {"user_id": "nobody"}])
def test_no_surface_answers_with_an_error(start: Opener, surface: str, who: dict[str, Any]) -> None:
    everything = (
        lists_nan,
        *FACTORS,
        PRIOR,
        POPULARITY,
        boost_outside,
        search_without_vectors,
        campaigns_nan,
        model_lost,
    )
    answer = broken(start, *everything).ask(surface, **who)
    assert answer["surface"] == surface
    assert all(isinstance(item["score"], float) for item in answer["items"])


def test_while_the_store_is_away_lists_are_served_and_events_refused(start: Opener) -> None:
    worker = start()
    worker.post_events(event(1, "u01", "i11", "cart"))
    before = worker.listed(user_id="u01")
    database = worker.shop.folder / "feedback.db"

    def rename(old: str, new: str) -> None:
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"alter table {old} rename to {new}")

    rename("events", "elsewhere")
    worker.shop.store.changes.increment()
    assert worker.listed(user_id="u01") == before
    refused = worker.send("POST", "/events", json={"events": [event(2, "u01", "i12", "cart")]})
    assert refused.status_code == 503
    assert "send the request again" in refused.json()["error"]
    rename("elsewhere", "events")
    worker.post_events(event(2, "u01", "i12", "cart"))
    assert [one.item_id for one in worker.shop.activity.events_of("u01")] == ["i11", "i12"]
