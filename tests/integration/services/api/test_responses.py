"""Every response is counted, named in the log by its id and, if it is an error, JSON; readiness says what is meant."""

import asyncio
import contextlib
import json
import sqlite3
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from services.api.middleware import REQUEST_HEADER, SHOP_HEADER, RequestMiddleware
from services.observability.metrics import ServiceMetrics
from tests.support.damaged_models import broken, model_lost
from tests.support.open_shops import Opener, event, until

pytest_plugins = ["tests.support.open_shops"]

JSON = {"content-type": "application/json"}
TEXT = {"content": b"{}", "headers": {"content-type": "text/plain"}}
RESPONSES: list[tuple[str, str, dict[str, Any], str, int, str | None]] = [
    ("POST", "/recommend", {"json": {}}, "/recommend", 200, None),
    ("POST", "/recommend", {"json": {"k": 0}}, "/recommend", 400, "invalid_request"),
    ("POST", "/recommend", {"json": {"task": "none"}}, "/recommend", 400, "invalid_request"),
    ("PUT", "/recommend", {}, "/recommend", 405, "method_not_allowed"),
    ("POST", "/recommend", TEXT, "/recommend", 415, "unsupported_media_type"),
    ("POST", "/search", {"content": b"1" * 2_000_000, "headers": JSON}, "/search", 413, "body_too_large"),
    ("GET", "/users/a/b/tier", {}, "/users/{user_id}/tier", 200, None),
    ("GET", "/nothing", {}, "other", 404, "unknown_path"),
    ("GET", "/info", {"headers": {SHOP_HEADER: "other shop"}}, "/info", 404, "unknown_shop"),
    ("GET", "/info", {"headers": {"host": "evil.example"}}, "/info", 403, "foreign_page"),
    ("GET", "/explain/none", {}, "/explain/{request_id}", 404, "unknown_answer"),
    ("DELETE", "/users/a", {}, "/users/{user_id}", 403, "missing_scope"),
]


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(("method", "path", "given", "endpoint", "status", "code"), RESPONSES)
def test_every_response_is_counted_and_has_an_id(
    start: Opener,
    capsys: pytest.CaptureFixture[str],
    method: str,
    path: str,
    given: dict[str, Any],
    endpoint: str,
    status: int,
    code: str | None,
) -> None:
    caller = start()
    answers = [caller.send(method, path, **given) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert caller.metric("tierrec_responses_total", endpoint=endpoint, status=str(status)) == 2
    names = [answer.headers[REQUEST_HEADER] for answer in answers]
    assert names[0] != names[1]
    if code is not None:
        assert set(answers[0].json()) == {"code", "error", "detail"}
        assert answers[0].json()["code"] == code
    if SHOP_HEADER not in given.get("headers", {}):
        assert {line["request_id"] for line in log_lines(capsys) if line["event"] == "access"} >= set(names)


def test_a_list_and_its_log_lines_name_the_same_request(start: Opener, capsys: pytest.CaptureFixture[str]) -> None:
    answer = start().send("POST", "/recommend", json={"history": ["i31"]})
    name = answer.headers[REQUEST_HEADER]
    assert answer.json()["request_id"] == name
    lines = log_lines(capsys)
    assert {line["event"] for line in lines if line.get("request_id") == name} == {"decision", "access"}


def test_the_reason_of_a_503_is_logged(start: Opener, capsys: pytest.CaptureFixture[str]) -> None:
    caller = start()
    until(caller.shops.is_ready)
    with contextlib.closing(sqlite3.connect(caller.shop.folder / "feedback.db")) as connection, connection:
        connection.execute("alter table events rename to elsewhere")
    refused = caller.send("POST", "/events", json={"events": [event(1, "u59", "i31")]})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    (line,) = [line for line in log_lines(capsys) if line.get("status") == 503]
    assert "no such table: events" in line["reason"]
    assert caller.send("GET", "/healthz/store").status_code == 503
    assert caller.shops.is_ready(), "lists need no store"
    assert caller.recommend(user_id="u59")["items"]


def ask(app: Any, metrics: ServiceMetrics, seconds: float) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(RequestMiddleware(app, metrics, seconds))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as session:
            return await session.get("/")

    return asyncio.run(once())


async def _late(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(60)


async def _failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("secret")


async def _begun_and_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"all"})


@pytest.mark.parametrize(("app", "status"), [(_late, 504), (_failing, 500)])
def test_late_and_failed_requests_are_answered_in_json(app: Any, status: int) -> None:
    metrics = ServiceMetrics(CollectorRegistry())
    answer = ask(app, metrics, 0.05)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "error", "detail"}
    assert answer.json()["code"] == {504: "timeout", 500: "internal_error"}[status]
    assert "secret" not in answer.text
    assert answer.headers[REQUEST_HEADER]
    assert ("retry-after" in answer.headers) == (status == 504)
    assert f'tierrec_responses_total{{endpoint="other",shop="other",status="{status}"}} 1.0' in metrics.exposition()


def test_an_answer_that_has_begun_has_all_the_time() -> None:
    assert ask(_begun_and_late, ServiceMetrics(CollectorRegistry()), 0.05).text == "all"


def test_a_worker_is_ready_once_its_models_are_loaded(start: Opener) -> None:
    caller = start()
    until(caller.shops.is_ready)
    assert caller.shop.models.champion._load_bundle._bundle is not None


def test_a_worker_whose_models_are_damaged_is_ready_for_lists_without_them(start: Opener) -> None:
    caller = broken(start, model_lost)
    until(caller.shops.is_ready)
    assert caller.recommend(history=["i31"])["path"] == "cf"
