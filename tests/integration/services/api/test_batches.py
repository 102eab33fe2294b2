"""Lists for many users in one request: each has its own result, counts for the limit, and holds up nobody."""

import asyncio
import itertools
import json
import math
from typing import Any

import pytest
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry

from services.api.app import configure_app
from services.auth.limits import RequestLimits
from services.observability.metrics import ServiceMetrics
from services.recommend.surfaces import recommend_batch, refusal_of
from services.schemas import MAX_BATCH_LISTS, RecommendRequest
from services.store import StoreError
from services.tenants.background import OverloadError
from services.tenants.shops import Shops
from tests.support.damaged_models import model_lost
from tests.support.open_shops import Caller, Opener, ids, until
from tierrec_core.base.errors import ArtifactError, TierRecError

pytest_plugins = ["tests.support.open_shops"]


def ask(caller: Caller, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    return list(caller.told("POST", "/recommend/batch", json={"requests": list(requests)})["results"])


def test_each_list_is_that_of_a_request_of_its_own(start: Opener) -> None:
    caller = start()
    requests = [{"user_id": f"u{number:02d}", "k": 7} for number in range(30)]
    requests += [
        {},
        {"history": ["i15"]},
        {"surface": "rank", "items": ["i15", "i16"]},
        {"user_id": "u01", "explain": True},
    ]
    results = ask(caller, *requests)
    assert [(result["index"], result["status"]) for result in results] == [(row, 200) for row in range(len(requests))]
    for request, result in zip(requests, results, strict=True):
        alone = caller.recommend(**request)
        assert {**result["answer"], "request_id": alone["request_id"]} == alone
    names = [result["answer"]["request_id"] for result in results]
    assert len(set(names)) == len(names)
    until(lambda: caller.shop.store.impression(names[-1]) is not None)
    assert [result["request_id"] for result in results] == names
    batch = caller.send("POST", "/recommend/batch", json={"requests": requests[:2]})
    named = [result["request_id"] for result in batch.json()["results"]]
    assert named == [f"{batch.headers['x-request-id']}-{index}" for index in range(2)]
    for name, result in zip(names, results, strict=True):
        assert list(caller.shop.store.impression(name).items) == ids(result["answer"])
        assert caller.told("GET", f"/explain/{name}")["request_id"] == name


def test_an_error_is_of_its_request_alone(start: Opener) -> None:
    caller = start()
    results = ask(caller, {"user_id": "u01"}, {"task": "none"}, {"filter": "no condition"}, {"cursor": "?"}, {})
    assert [result["status"] for result in results] == [200, 400, 400, 400, 200]
    for name, result in zip(("task", "expression", "cursor"), results[1:4], strict=True):
        assert result["error"].startswith(name)
        assert result["request_id"]
        assert "answer" not in result
    counts = [caller.metric("tierrec_batch_results_total", status=status) for status in ("200", "400")]
    assert counts == [2, 3]


@pytest.mark.parametrize("error", [StoreError("secret host"), OverloadError("reads: wait"), ArtifactError("model: x")])
def test_an_error_has_the_status_and_the_text_of_a_single_request(error: TierRecError) -> None:
    status, code, text = refusal_of(error)
    failing = FastAPI()
    configure_app(failing, Shops({}, ServiceMetrics(CollectorRegistry())), RequestLimits())
    handler = failing.exception_handlers[
        next(kind for kind in type(error).__mro__ if kind in failing.exception_handlers)
    ]
    response = asyncio.run(handler(Request({"type": "http", "state": {}}), error))
    body = json.loads(response.body)
    assert (status, code, text) == (response.status_code, body["code"], body["error"])
    assert "secret" not in text


def test_only_lists_that_begin_take_a_token(start: Opener) -> None:
    caller, taken = start(), itertools.count()
    late = recommend_batch(caller.shop, [RecommendRequest()] * 3, lambda: float(next(taken)), -math.inf)["results"]
    assert [result["status"] for result in late] == [504] * 3
    assert next(taken) == 0


def test_a_batch_is_bounded_and_not_empty(start: Opener) -> None:
    caller = start()
    assert len(ask(caller, *[{}] * MAX_BATCH_LISTS)) == MAX_BATCH_LISTS
    for count in (0, MAX_BATCH_LISTS + 1):
        refused = caller.send("POST", "/recommend/batch", json={"requests": [{}] * count})
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (400, ["body", "requests"])
    refused = caller.send("POST", "/recommend/batch", json={"requests": [{}, {"k": 0}]})
    assert refused.json()["detail"][0]["loc"] == ["body", "requests", 1, "k"]


def test_each_request_takes_a_token_of_the_limit(start: Opener) -> None:
    caller = start(limits=RequestLimits(requests_per_second=0.001, burst=5))
    statuses = [result["status"] for result in ask(caller, *[{}] * 4)]
    assert statuses == [200] * 4
    results = ask(caller, {}, {})
    assert [result["status"] for result in results] == [200, 429]
    assert "asks too often" in results[1]["error"]
    assert caller.send("POST", "/recommend", json={}).status_code == 429


def test_batches_do_not_hold_up_other_lists(start: Opener) -> None:
    caller = start()
    items = [f"i{number:02d}" for number in range(40)]
    slow = {"requests": [{"surface": "rank", "items": items, "explain": True}] * MAX_BATCH_LISTS}
    batches = [("POST", "/recommend/batch", {"json": slow})] * 12
    single = [("POST", "/recommend", {"json": {"user_id": f"u{number:02d}", "explain": True}}) for number in range(20)]
    answers = caller.send_all([*batches, *single])
    statuses = [answer.status_code for answer in answers[:12]]
    assert statuses.count(200) >= 5, "one runs, and four wait"
    assert statuses.count(200) + statuses.count(503) == 12 > statuses.count(200)
    assert all(answer.headers["retry-after"] for answer in answers[:12] if answer.status_code == 503)
    assert [answer.status_code for answer in answers[12:]] == [200] * 20


def test_a_damaged_model_ends_no_batch(start: Opener) -> None:
    caller = start(default=start.add("tierrec:lost", model_lost))
    results = ask(caller, {"user_id": "u01"}, {"history": ["i15"]}, {})
    assert [result["status"] for result in results] == [200] * 3
    assert results[1]["answer"]["fallback"]
