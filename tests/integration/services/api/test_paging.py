"""Pages by cursor: nothing comes twice, whatever happens between them, and there is an end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.releases.manifest import SmokeReport
from services.releases.pointer import FILE, deploy, promote
from tests.support.open_shops import COUPONS, Caller, Opener, event, ids, until

pytest_plugins = ["tests.support.open_shops"]

ALL = [f"i{number:02d}" for number in range(40)]
WHO: dict[str, dict[str, Any]] = {
    "known": {"user_id": "u59"},
    "unknown": {"user_id": "nobody"},
    "visitor": {"history": ["i11", "i12"]},
    "cart": {"user_id": "u58", "context": {"basket": ["i00", "i05"]}},
    "discovery": {"history": ["i11", "i12"], "task": "discovery"},
    "filter": {"user_id": "u59", "filter": "price > 11.5"},
    "exclude": {"user_id": "u59", "exclude": ["i30", "i00"]},
    "onboarding": {"surface": "onboarding", "user_id": "u01"},
    "ads": {"surface": "ads", "user_id": "u59"},
    "campaigns": {"surface": "campaigns", "user_id": "u59"},
    "rank": {"surface": "rank", "user_id": "u59", "items": ALL[5:25]},
}
SHOWN = {
    "cart": set(ALL) - {"i00", "i05"},
    "discovery": set(ALL) - {"i11", "i12"},
    "filter": set(ALL[11:]),
    "exclude": set(ALL) - {"i30", "i00"},
    "ads": {"i03", "i13", "i23"},
    "campaigns": set(COUPONS),
    "rank": set(ALL[5:25]),
}


@pytest.fixture(scope="module")
def caller(opener: Opener) -> Caller:
    return opener()


def pages(
    caller: Caller, body: dict[str, Any], k: int, between: Callable[[int], None] | None = None
) -> Iterator[list[str]]:
    """Page after page until there is no cursor."""
    cursor, number = None, 0
    while cursor is not None or not number:
        answer = caller.recommend(**body, k=k, **({"cursor": cursor} if cursor else {}))
        yield ids(answer)
        cursor, number = answer["cursor"], number + 1
        assert number < 100, "the pages have no end"
        if between is not None:
            between(number)


@pytest.mark.parametrize("k", [1, 7, 20, 100])
@pytest.mark.parametrize("who", WHO)
def test_all_pages_show_everything_once(caller: Caller, who: str, k: int) -> None:
    shown = list(pages(caller, WHO[who], k))
    together = [item for page in shown for item in page]
    assert len(together) == len(set(together))
    assert set(together) == SHOWN.get(who, set(ALL))
    assert all(len(page) == k for page in shown[:-1])


@pytest.mark.parametrize("who", ["known", "unknown", "visitor", "rank"])
def test_pages_are_the_long_list_in_pieces(caller: Caller, who: str) -> None:
    together = [item for page in pages(caller, WHO[who], 6) for item in page]
    assert together == caller.listed(**WHO[who], k=100)


def test_a_page_of_nothing_has_no_next_one(caller: Caller) -> None:
    assert list(pages(caller, {"surface": "rank", "items": []}, 5)) == [[]]
    answer = caller.recommend(surface="rank", items=[])
    assert (answer["items"], answer["cursor"]) == ([], None)


@pytest.mark.parametrize("surface", ["search", "similar"])
def test_hits_and_likes_have_pages_too(caller: Caller, surface: str) -> None:
    whole = ids(caller.ask(surface, user_id="u59", k=100))
    shown, cursor = [], None
    while cursor is not None or not shown:
        answer = caller.ask(surface, user_id="u59", k=7, **({"cursor": cursor} if cursor else {}))
        shown, cursor = shown + ids(answer), answer["cursor"]
    assert shown == whole
    assert len(set(shown)) == len(shown) >= 39


@pytest.mark.parametrize("who", ["known", "unknown", "onboarding"])
def test_nothing_comes_twice_while_events_are_posted(start: Opener, who: str) -> None:
    caller = start()
    user = WHO[who]["user_id"]

    def act(number: int) -> None:
        caller.post_events(event(number, user, ALL[(7 * number) % 40], "cart"))
        caller.post_items({"item_id": f"new{number}", "title": "new", "category": "group 3"})

    together = [item for page in pages(caller, WHO[who], 5, act) for item in page]
    assert len(together) == len(set(together))
    assert set(ALL) <= set(together)


@pytest.mark.slow
def test_nothing_comes_twice_while_models_are_swapped(start: Opener) -> None:
    caller = start()
    for number in range(2):
        start.add(f"tierrec:v{number}", lambda bundle: None)
    pointer = caller.shop.folder / FILE

    def swap(number: int) -> None:
        tag = f"tierrec:v{number % 2}"
        replace_champion(pointer, tag)
        until(lambda: caller.recommend()["model_version"] == tag.partition(":")[2])

    shown, versions = [], set()
    for page in pages(caller, {"user_id": "u59"}, 8, swap):
        shown += page
        versions.add(caller.told("GET", "/info")["model_version"])
    assert sorted(shown) == ALL
    assert versions == {"own", "v0", "v1"}


def replace_champion(pointer: Path, tag: str) -> None:
    """Deploy a Bento that has passed its smoke test, and make it the champion."""
    smoke = {"next": {"users": 1, "identical": 1}}
    report = SmokeReport.model_validate({"tag": tag, "model": f"m:{tag[8:]}", "smoke": smoke})
    if deploy(pointer, report, 0.5).challenger is not None:
        promote(pointer)
