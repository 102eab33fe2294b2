"""The OpenAPI document says what programs rely on, and chains of requests along its links are answered as it says."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from services.api.middleware import SHOP_HEADER
from services.auth.keys import FILE as KEYS
from services.auth.keys import KeyScope, add_key
from tests.support.endpoints import ADMIN, READ, WRITE
from tests.support.open_shops import Caller, Opener, until

pytest_plugins = ["tests.support.open_shops"]

OPERATIONS = {
    "recommend": "POST /recommend",
    "recommend_batch": "POST /recommend/batch",
    "search": "POST /search",
    "similar": "POST /similar",
    "explain": "GET /explain/{request_id}",
    "post_events": "POST /events",
    "post_items": "POST /items",
    "delete_item": "DELETE /items/{item_id}",
    "user_tier": "GET /users/{user_id}/tier",
    "post_users": "POST /users",
    "delete_user_attributes": "DELETE /user-attributes/{user_id}",
    "erase_user": "DELETE /users/{user_id}",
    "experiments": "GET /experiments",
    "export": "GET /export/{kind}",
    "import": "POST /import/{kind}",
    "info": "GET /info",
}
CHECKS = [schemathesis.checks.not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def caller(opener: Opener) -> Caller:
    """Asks with a key that may do everything."""
    caller = opener()
    token = add_key(caller.shop.folder / KEYS, "all", tuple(KeyScope))[1]
    caller.headers["Authorization"] = f"Bearer {token}"
    return caller


def operations(caller: Caller) -> dict[str, tuple[str, str, dict[str, Any]]]:
    paths = caller.told("GET", "/docs.json")["paths"]
    return {
        one["operationId"]: (method.upper(), path, one) for path, ways in paths.items() for method, one in ways.items()
    }


def test_names_of_operations_stay(caller: Caller) -> None:
    found = {name: f"{method} {path}" for name, (method, path, _) in operations(caller).items()}
    assert found == OPERATIONS


def test_each_operation_names_the_scope_of_its_key_and_the_header_of_the_shop(caller: Caller) -> None:
    scopes = {"read": READ, "write": WRITE, "admin": ADMIN}
    for method, path, operation in operations(caller).values():
        ((scope,),) = (one["key"] for one in operation["security"])
        assert (method, path) in scopes[scope]
        assert [one["name"] for one in operation["parameters"] if one["in"] == "header"] == [SHOP_HEADER]
        assert "422" not in operation["responses"]
    assert caller.told("GET", "/docs.json")["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def value_of(expression: str, sent: Any, answered: Any) -> Any:
    """What a link's expression, such as $request.body#/items/0/item_id, stands for."""
    source, _, pointer = expression.partition("#/")
    found = {"$request.body": sent, "$response.body": answered}[source]
    for step in pointer.split("/"):
        found = found[int(step) if step.isdecimal() else step]
    return found


def test_each_link_can_be_followed(caller: Caller) -> None:
    known, followed = operations(caller), set()
    requests = READ | WRITE
    for method, path, operation in known.values():
        for link in operation["responses"]["200"].get("links", {}).values():
            sent = requests[method, path]["json"]
            answered = caller.told(method, path, json=sent)
            place = {name: value_of(one, sent, answered) for name, one in link["parameters"].items()}
            body = {name: value_of(one, sent, answered) for name, one in link.get("requestBody", {}).items()}
            target, pattern, _ = known[link["operationId"]]
            if "request_id" in place:
                until(lambda name=place["request_id"]: caller.shop.store.impression(name) is not None)
            answer = caller.send(target, pattern.format(**place), **({"json": body} if body else {}))
            assert answer.status_code in (200, 202), (link, answer.text)
            followed.add(link["operationId"])
    assert followed == {
        *("recommend", "similar", "explain", "user_tier"),
        *("delete_item", "delete_user_attributes", "erase_user"),
    }


def test_chains_of_requests_are_answered_as_the_document_says(caller: Caller) -> None:
    document = schemathesis.openapi.from_asgi("/docs.json", caller.app, headers=caller.headers)
    document.config.update(headers=caller.headers)
    answered: dict[str, set[int]] = {}

    class Chains(document.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: schemathesis.Case) -> None:
            case.headers.pop(SHOP_HEADER, None)  # no name but the default is one of a shop

        def validate_response(self, response: Any, case: schemathesis.Case, **given: Any) -> None:
            answered.setdefault(case.operation.definition.raw["operationId"], set()).add(response.status_code)
            case.validate_response(response, checks=CHECKS)

    Chains.run(
        settings=settings(
            max_examples=25,
            stateful_step_count=6,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
        )
    )
    assert sum(200 in statuses for statuses in answered.values()) > 3
    assert caller.recommend(user_id="u01")["items"]
