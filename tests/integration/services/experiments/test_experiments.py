"""Variants and releases side by side: who sees which, what it changes, and what is remembered of it."""

from collections import Counter

import numpy as np
import pytest

from services.releases.manifest import SmokeReport
from services.releases.pointer import FILE, deploy, promote, rollback
from tests.support.open_shops import Caller, Opener, event, ids, until

pytest_plugins = ["tests.support.open_shops"]

THREE = """
taste:
  surfaces: [products, onboarding]
  goal: purchase
  variants:
    control: {share: 0.5}
    discovery: {share: 0.3, task: discovery}
    spread: {share: 0.2, policy: {max_per_category: 2, novelty: 0.5}}
"""
SHARES = {"control": 0.5, "discovery": 0.3, "spread": 0.2}


@pytest.fixture
def caller(start: Opener) -> Caller:
    (start.root / "default").mkdir()
    (start.root / "default" / "experiments.yaml").write_text(THREE)
    return start()


def variants(caller: Caller, users: list[str]) -> dict[str, str]:
    requests = [("POST", "/recommend", {"json": {"user_id": user, "k": 1}}) for user in users]
    return {user: one.json()["variant"] for user, one in zip(users, caller.send_all(requests), strict=True)}


def test_users_are_split_by_the_shares_and_stay(caller: Caller, start: Opener) -> None:
    users = [f"visitor {number}" for number in range(600)]
    first = variants(caller, users)
    count = Counter(first.values())
    for name, share in SHARES.items():
        assert abs(count[name] / len(users) - share) < 4 * np.sqrt(share * (1 - share) / len(users))
    assert variants(start(), users[:100]) == {user: first[user] for user in users[:100]}
    assert caller.recommend()["variant"] is None, "nobody without an id takes part"
    assert caller.ask("search", user_id=users[0])["variant"] is None, "nor on another surface"


def test_a_variant_changes_the_list(caller: Caller, start: Opener) -> None:
    plain = start("plain")
    assigned = variants(caller, [f"u{number:02d}" for number in range(60)])
    assert set(assigned.values()) == set(SHARES)
    for user, variant in assigned.items():
        answer, without = caller.recommend(user_id=user), plain.recommend(user_id=user)
        if variant == "control":
            assert ids(answer) == ids(without)
        elif variant == "discovery":
            assert answer["task"] == "discovery"
            assert ids(answer) == plain.listed(user_id=user, task="discovery")
        else:
            assert max(Counter(item[:2] for item in ids(answer)).values()) == 2
            assert len(ids(answer)) == 8, "two of each of four categories"
        assert (answer["experiment"], without["experiment"]) == ("taste", None)


def test_what_is_said_of_items_does_not_touch_campaigns(start: Opener) -> None:
    (start.root / "default").mkdir()
    (start.root / "default" / "experiments.yaml").write_text(
        "one: {surfaces: [campaigns], variants: {a: {share: 1, policy: {max_per_category: 1, novelty: 1}}, "
        "b: {share: 0}}}"
    )
    answer, plain = (caller.recommend(surface="campaigns", user_id="u59") for caller in (start(), start("plain")))
    assert (answer["variant"], plain["variant"]) == ("a", None)
    assert ids(answer) == ids(plain)
    assert len(ids(answer)) == 4


def test_impressions_tell_variant_and_propensity(caller: Caller) -> None:
    answers = [caller.recommend(user_id=f"u{number:02d}") for number in range(20)]
    for answer in answers:
        kept = caller.shop.impressions.find(answer["request_id"])
        assert kept is not None
        assert (kept.experiment, kept.variant) == ("taste", answer["variant"])
        assert kept.propensity == SHARES[answer["variant"]]
        assert kept.items == tuple(ids(answer))
        assert kept.model_version == answer["model_version"]


def test_results_count_who_was_shown_and_who_bought(caller: Caller) -> None:
    users = [f"u{number:02d}" for number in range(60)]
    answers = {user: caller.recommend(user_id=user) for user in users}
    buyers = users[::3]
    caller.post_events(*(event(1, user, ids(answers[user])[0], "purchase") for user in buyers))
    until(lambda: caller.shop.impressions.num_queued == 0)
    until(lambda: all(caller.shop.store.impression(one["request_id"]) for one in answers.values()))
    told = caller.told("GET", "/experiments")["taste"]
    assigned = {user: answer["variant"] for user, answer in answers.items()}
    for variant in told:
        mine = [user for user in users if assigned[user] == variant["variant"]]
        assert variant["users"] == variant["impressions"] == len(mine)
        assert variant["conversions"] == len(set(mine) & set(buyers))
        assert variant["rate"]["low"] <= variant["rate"]["value"] <= variant["rate"]["high"]
    assert [variant["variant"] for variant in told] == list(SHARES)
    assert told[0]["verdict"] == "baseline"


def test_a_challenger_answers_its_share(start: Opener) -> None:
    caller, other = start(), start()
    start.add("tierrec:new", lambda bundle: None)
    pointer = caller.shop.folder / FILE
    deploy(pointer, passed("tierrec:own"), 0.0)
    deploy(pointer, passed("tierrec:new"), 0.3)
    users = [f"visitor {number}" for number in range(400)]
    until(lambda: all(one.recommend() and one.shop.models.challenger for one in (caller, other)))
    until(lambda: caller.metric("tierrec_model_info", role="challenger", bento="tierrec:new") == 1)
    served = versions(caller, users)
    assert abs(Counter(served.values())["new"] / len(users) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(users))
    assert versions(other, users) == served
    answer = caller.recommend(user_id=next(user for user in users if served[user] == "new"))
    kept = caller.shop.impressions.find(answer["request_id"])
    assert kept is not None
    assert kept.model_version == "new"
    promote(pointer)
    until(lambda: set(versions(caller, users[:20]).values()) == {"new"})
    rollback(pointer)
    until(lambda: set(versions(caller, users[:20]).values()) == {"own"})


def test_a_pointer_to_what_cannot_be_loaded_changes_nothing(start: Opener) -> None:
    caller = start()
    deploy(caller.shop.folder / FILE, passed("tierrec:lost"), 0.0)
    until(lambda: bool(caller.recommend() and caller.metric("tierrec_swaps_total", result="refused")))
    assert caller.recommend(user_id="u59")["model_version"] == "own"


def test_a_variant_may_be_a_release(start: Opener) -> None:
    start.add("tierrec:new", lambda bundle: None)
    folder = start.root / "default"
    folder.mkdir()
    deploy(folder / FILE, passed("tierrec:own"), 0.0)
    deploy(folder / FILE, passed("tierrec:new"), 0.0)
    (folder / "experiments.yaml").write_text(
        "models: {surfaces: [products], variants: {old: {share: 0.5, release: champion}, "
        "new: {share: 0.5, release: challenger}}}"
    )
    caller = start()
    for number in range(40):
        answer = caller.recommend(user_id=f"visitor {number}")
        assert answer["model_version"] == {"old": "own", "new": "new"}[answer["variant"]]
    assert caller.recommend(surface="ads", user_id="visitor 1")["model_version"] == "own"


def passed(tag: str) -> SmokeReport:
    """The report of a Bento that serves what was judged."""
    smoke = {"next": {"users": 1, "identical": 1}}
    return SmokeReport.model_validate({"tag": tag, "model": f"m:{tag[8:]}", "smoke": smoke})


def versions(caller: Caller, users: list[str]) -> dict[str, str]:
    requests = [("POST", "/recommend", {"json": {"user_id": user, "k": 1}}) for user in users]
    answers = caller.send_all(requests)
    return {user: one.json()["model_version"] for user, one in zip(users, answers, strict=True)}
