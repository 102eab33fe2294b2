"""What is left of somebody who was erased: nothing; and what logs tell of people: pseudonyms."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from services.observability.access_log import pseudonym
from services.store import Impression, Store
from tests.support.damaged_models import boost_outside, broken, lists_outside, model_lost
from tests.support.open_shops import COUPONS, SURFACES, Caller, Opener, event, ids, until

pytest_plugins = ["tests.support.open_shops", "tests.support.stores"]

SOMEONE = "alice.quite-unique@example.org"


@pytest.fixture(autouse=True)
def _keyed(start: Opener) -> None:
    """Nobody is erased without a key."""
    start.keyed = True


def holding(folder: Path, text: str) -> list[str]:
    """Files below the folder with the text in their bytes, or in their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if text.encode() in path.read_bytes() or text in path.name]


def live(caller: Caller, user: str) -> None:
    """All that a user may do to be remembered."""
    caller.post_users({"user_id": user, "attributes": {"plan": "gold", "name": user}})
    caller.post_events(*(event(number, user, f"i1{number}", "cart") for number in range(5)))
    caller.post_events(event(9, user, COUPONS[1], "redeem", session_id="s", value=1.0))
    for surface in SURFACES:
        caller.ask(surface, user_id=user)


def test_an_erased_user_is_unknown_in_every_worker(start: Opener) -> None:
    one, other = start(), start()
    live(one, SOMEONE)
    assert other.recommend(user_id=SOMEONE)["known_user"]
    erased = other.erase(SOMEONE)
    assert erased["events"] == 6
    assert erased["users"] == 1
    for caller in (one, other, start()):
        answer = caller.recommend(user_id=SOMEONE)
        assert (answer["path"], answer["known_user"], answer["tier"]) == ("cold", False, "light")
        assert ids(answer) == caller.listed()
        assert caller.told("GET", f"/users/{SOMEONE}/tier")["known_user"] is False


def test_the_models_memory_of_an_erased_user_is_not_used(start: Opener) -> None:
    one, other = start(), start()
    interests = one.told("GET", "/users/u59/tier")["interests"]
    other.erase("u59")
    for caller in (one, other, start()):
        for surface in SURFACES:
            answer = caller.ask(surface, user_id="u59")
            assert (answer["known_user"], answer["tier"]) == (False, "light")
            assert ids(answer) == ids(caller.ask(surface, user_id="nobody"))
        assert caller.told("GET", "/users/u59/tier")["interests"] != interests
        assert caller.recommend(user_id="u58")["known_user"]


def test_an_erased_user_may_begin_anew(start: Opener) -> None:
    caller = start()
    live(caller, SOMEONE)
    caller.erase(SOMEONE)
    caller.post_events(event(100, SOMEONE, "i25", "view"))
    answer = caller.recommend(user_id=SOMEONE, k=3)
    assert answer["known_user"]
    assert {item[:2] for item in ids(answer)} == {"i2"}


@pytest.mark.parametrize("at_once", [True, False])
def test_no_byte_of_an_erased_user_is_left(start: Opener, at_once: bool) -> None:
    one, other = start(), start()
    live(one, SOMEONE)
    live(other, "somebody-else")
    other.ask("products", user_id=SOMEONE)
    if not at_once:
        for caller in (one, other):
            caller.shop.impressions.close()
        assert holding(one.shop.folder, SOMEONE)
    assert one.send("DELETE", f"/users/{SOMEONE}").json()["complete"] is False
    until(lambda: other.send("DELETE", f"/users/{SOMEONE}").status_code == 200)
    start.close()
    assert holding(one.shop.folder, SOMEONE) == []
    assert holding(one.shop.folder, "somebody-else")


def test_answers_that_waited_are_not_written_after_the_erasure(store: Store) -> None:
    now = datetime.now(UTC)
    earlier, later = (impression(name, now + timedelta(hours=hours)) for name, hours in (("a", -1), ("b", 1)))
    store.erase_user(SOMEONE, "hash")
    assert store.add_impressions([earlier, later], lambda user: "hash" if user == SOMEONE else "other") == 1
    assert (store.impression("a"), store.impression("b")) == (None, later)
    other = replace(earlier, request_id="c", user_id="somebody-else")
    nobody = replace(earlier, request_id="d", user_id=None)
    assert store.add_impressions([other, nobody], lambda user: "hash" if user == SOMEONE else "other") == 2


def impression(request_id: str, at: datetime) -> Impression:
    return Impression(
        request_id=request_id,
        user_id=SOMEONE,
        surface="products",
        items=("i01",),
        path="blend",
        model_version="v1",
        at=at,
    )


@pytest.mark.parametrize("user", ["a/b", "a/tier", "line\none", "ü?#&%", "a..b", "x" * 256])
def test_whoever_can_be_known_can_be_erased(start: Opener, user: str) -> None:
    caller = start()
    caller.post_events(event(1, user, "i15", key="k"))
    path = f"/users/{quote(user, safe='')}"
    assert caller.recommend(user_id=user)["known_user"]
    assert caller.told("GET", f"{path}/tier")["known_user"]
    assert caller.erase(user)["events"] == 1
    assert caller.recommend(user_id=user)["known_user"] is False


def test_erasing_somebody_unknown_is_no_error(start: Opener) -> None:
    caller = start()
    assert caller.erase("nobody/ü") == {"events": 0, "impressions": 0, "users": 0}


def test_logs_name_nobody(start: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    caller = broken(start, lists_outside, boost_outside, model_lost)
    live(caller, SOMEONE)
    caller.post_events(event(1, "u59", "i15"))
    for user in (SOMEONE, "u59", "u58"):
        for surface in SURFACES:
            caller.ask(surface, user_id=user, explain=True) if surface == "products" else caller.ask(
                surface, user_id=user
            )
        caller.send("GET", f"/users/{user}/tier")
    caller.send("POST", "/recommend", json={"user_id": SOMEONE, "history": [SOMEONE]})
    caller.send("POST", "/recommend", json={"user_id": SOMEONE, "filter": f"nothing = '{SOMEONE}'"})
    caller.send("POST", "/events", json={"events": [event(1, SOMEONE, "i15", "no such event")]})
    caller.send("DELETE", f"/user-attributes/{SOMEONE}")
    caller.send("DELETE", f"/users/{SOMEONE}")
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.err.splitlines() if line.startswith('{"')]
    failures = [line for line in lines if "strategy" in line]
    names = {pseudonym(user, caller.shop.secret) for user in (SOMEONE, "u59", "u58")}
    assert {line["user"] for line in failures} == names
    assert SOMEONE not in said.err
    assert SOMEONE not in json.dumps(lines)
    assert not any("u59" in json.dumps(line) or "u58" in json.dumps(line) for line in lines)
    assert {line["user"] for line in lines if line["event"] == "decision"} == names


def test_refusals_do_not_repeat_a_persons_id(start: Opener) -> None:
    caller = start()
    for body in (
        {"user_id": SOMEONE, "history": [SOMEONE]},
        {"user_id": [SOMEONE]},
        {"context": {"attributes": {"a": [SOMEONE]}}},
    ):
        answer = caller.send("POST", "/recommend", json=body)
        assert answer.status_code == 400
        assert SOMEONE not in answer.text


def test_metrics_name_nobody(start: Opener) -> None:
    caller = start()
    live(caller, SOMEONE)
    assert SOMEONE not in caller.send("GET", "/metrics").text
