"""Whatever is sent, the service answers as its page says, and none of it makes the next answer worse."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.api.middleware import SHOP_HEADER
from services.auth.keys import FILE as KEYS
from services.auth.keys import KeyScope, add_key
from tests.support.endpoints import ADMIN, READ, WRITE
from tests.support.open_shops import Opener, event, ids, until

pytest_plugins = ["tests.support.open_shops"]

CHECKS = [
    checks.not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
ENDPOINTS = [*READ, *WRITE, *ADMIN]
WITH_BODIES = [(method, path) for method, path in ENDPOINTS if method == "POST" and "import" not in path]
SLOW = "/explain/{request_id}"  # waits for other workers before it says that nobody knows the answer
MALFORMED = (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a":' * 500, b"1e999", b"{}" * 2)


@schemathesis.serializer("application/x-ndjson")
def as_lines(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def page(opener: Opener) -> Any:
    """The service's page, asked with a key that may do everything."""
    caller = opener()
    token = add_key(caller.shop.folder / KEYS, "all", tuple(KeyScope))[1]
    headers = {"Authorization": f"Bearer {token}"}
    found = schemathesis.openapi.from_asgi("/docs.json", caller.app, headers=headers)
    found.config.update(headers=headers)
    refusals = found.config.checks.negative_data_rejection
    refusals.expected_statuses = [*refusals.expected_statuses, "413"]  # an invalid body may be too long as well
    return found


def check(page: Any, endpoint: tuple[str, str], mode: GenerationMode) -> None:
    method, path = endpoint

    @settings(max_examples=5 if path == SLOW else 10, suppress_health_check=list(HealthCheck))
    @given(case=page[path][method].as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case) -> None:
        case.headers.pop(SHOP_HEADER, None)  # no name but the default is one of a shop
        case.call_and_validate(checks=CHECKS)

    holds()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_valid_requests_are_answered_as_the_page_says(page: Any, endpoint: tuple[str, str]) -> None:
    check(page, endpoint, GenerationMode.POSITIVE)


@pytest.mark.parametrize("endpoint", WITH_BODIES)
def test_invalid_requests_are_refused_as_the_page_says(page: Any, endpoint: tuple[str, str]) -> None:
    check(page, endpoint, GenerationMode.NEGATIVE)


@pytest.mark.parametrize("path", [path for _, path in WITH_BODIES])
def test_what_is_no_json_is_refused(start: Opener, path: str) -> None:
    caller = start()
    for content in MALFORMED:
        answer = caller.send("POST", path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert caller.recommend()["items"]


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59.999999Z"]
)
def test_no_moment_is_kept_that_cannot_be_read(start: Opener, moment: str) -> None:
    start.keyed = True
    caller = start()
    posts = {
        "/events": {"events": [event(1, "u59", "i15", "cart", timestamp=moment)]},
        "/items": {"items": [{"item_id": "i15", "available_until": moment}]},
    }
    for path, body in posts.items():
        assert caller.send("POST", path, json=body).status_code in (200, 400)
    for again in (caller, start()):
        assert again.recommend(user_id="u59")["items"]
        assert again.send("GET", "/export/events").status_code == 200


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\u2028", "😀", "../..", "' or 1=1 --", "%00"])
def test_no_text_stops_the_writing_of_impressions(start: Opener, text: str) -> None:
    caller = start()
    for surface in ("products", "search"):
        body = {"user_id": text, "surface": surface} if surface == "products" else {"query": text, "user_id": text}
        content = str(body).encode("utf-8", "surrogatepass") if "\ud800" in text else None
        given = {"content": content, "headers": {"content-type": "application/json"}} if content else {"json": body}
        path = "/recommend" if surface == "products" else "/search"
        assert caller.send("POST", path, **given).status_code in (200, 400)
    answer = caller.recommend(user_id="u59")
    until(lambda: caller.shop.store.impression(answer["request_id"]) is not None)
    assert caller.metric("tierrec_impressions_dropped_total") == 0


def test_the_page_tells_examples_limits_and_refusals(start: Opener) -> None:
    page = start().told("GET", "/docs.json")
    schemas = page["components"]["schemas"]
    assert schemas["RecommendRequest"]["example"]
    assert schemas["SearchRequest"]["example"]["query"]
    limits = {one.get("maximum") for one in schemas["RecommendRequest"]["properties"]["k"]["anyOf"]}
    assert 100 in limits
    for path, one in page["paths"].items():
        for method, operation in one.items():
            assert operation["description"], (path, method)
            assert {"400", "401", "403", "429", "503"} <= set(operation["responses"]), (path, method)


def test_the_first_page_lists_the_endpoints_and_loads_nothing(start: Opener) -> None:
    caller = start()
    answer = caller.send("GET", "/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert all(f"<code>{path}</code>" in answer.text for path in caller.told("GET", "/docs.json")["paths"])
    assert not re.search(r"<script|<link|https?:", answer.text)


def test_impressions_are_kept_of_each_answer(start: Opener) -> None:
    caller = start()
    before = datetime.now(UTC)
    answers = [caller.recommend(user_id=f"u{number:02d}") for number in range(5)] + [caller.ask("search")]
    for answer in answers:
        until(lambda wanted=answer["request_id"]: caller.shop.store.impression(wanted) is not None)
        kept = caller.shop.store.impression(answer["request_id"])
        assert (list(kept.items), kept.path, kept.surface) == (ids(answer), answer["path"], answer["surface"])
        assert before <= kept.at <= datetime.now(UTC)
