"""The clients against the service's own OpenAPI document: what they send, and what they understand."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

import generate
from services.transfer import records
from tests.support.projects import ROOT
from tierrec_client import AsyncClient, Client, EventIn, EventRow, ItemIn, ItemRow, UserIn, calls, fields, models, rows
from tierrec_client.calls import NDJSON, Call
from tierrec_client.streams import ImportBatches

EVENT = EventIn(key="k", user_id="u", item_id="i", event="view")
JSON = "application/json"
STREAMED = ("GET", "/export/{kind}")  # read as rows: see test_an_export_goes_on_where_it_broke_off

CALLS: dict[tuple[str, str], Call[Any]] = {
    ("POST", "/recommend"): calls.recommend(user_id="u", surface="ads", k=3, context={"basket": ["i"]}, explain=True),
    ("POST", "/recommend/batch"): calls.recommend_batch(requests=[models.RecommendRequest(user_id="u", k=3)]),
    ("POST", "/search"): calls.search(query="shoes", user_id="u", exclude=["i"], filter="price < 3"),
    ("POST", "/similar"): calls.similar(item_id="i", k=5),
    ("POST", "/events"): calls.events(events=[EVENT]),
    ("POST", "/items"): calls.items(items=[ItemIn(item_id="i", price=1.5, attributes={"size": "L"})]),
    ("POST", "/users"): calls.users(users=[UserIn(user_id="u", attributes={"plan": "gold"})]),
    ("DELETE", "/items/{item_id}"): calls.delete_item("i/1"),
    ("DELETE", "/user-attributes/{user_id}"): calls.delete_attributes("u/1"),
    ("GET", "/users/{user_id}/tier"): calls.tier("u"),
    ("DELETE", "/users/{user_id}"): calls.erase("u"),
    ("GET", "/explain/{request_id}"): calls.explain("r"),
    ("GET", "/experiments"): calls.experiments(),
    ("GET", "/info"): calls.info(),
    ("POST", "/import/{kind}"): calls.import_lines("events", b"{}\n"),
}
REQUESTS = {
    calls.recommend: (models.RecommendRequest, fields.RecommendFields),
    calls.search: (models.SearchRequest, fields.SearchFields),
    calls.similar: (models.SimilarRequest, fields.SimilarFields),
    calls.events: (models.EventBatch, fields.EventFields),
    calls.items: (models.ItemBatch, fields.ItemFields),
    calls.users: (models.UserBatch, fields.UserFields),
}


DOCUMENT = generate.service_document()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if (method.upper(), path) != STREAMED
]


def test_the_models_are_generated_from_the_document_of_today() -> None:
    assert generate.MODELS.read_text() == generate.generate_models(), "run `make client`"


@pytest.mark.parametrize("name", ["EventRow", "ItemRow", "UserRow"])
def test_rows_have_the_fields_of_the_service_lines(name: str) -> None:
    ours, theirs = (getattr(module, name).model_json_schema() for module in (rows, records))
    assert fields_of(ours, ours.get("$defs", {})) == fields_of(theirs, theirs.get("$defs", {}))
    assert ours["required"] == theirs["required"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def test_every_operation_of_the_document_has_a_call_and_no_other() -> None:
    assert {(method, path) for method, path, _ in OPERATIONS} == set(CALLS)
    assert STREAMED[0].lower() in DOCUMENT["paths"][STREAMED[1]]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda one: str(one)[:30])
def test_a_call_is_what_the_document_describes(method: str, path: str, operation: dict[str, Any]) -> None:
    call = CALLS[method, path]
    assert (call.method, re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), call.path) is not None) == (method, True)
    given_body = operation.get("requestBody")
    assert (call.body is not None) == (given_body is not None)
    if given_body:
        schema = given_body["content"][call.media_type]["schema"]
        assert call.body is not None
        sent = call.body.decode() if call.media_type == NDJSON else json.loads(call.body)
        validator(schema).validate(sent)


st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda one: str(one)[:30])
def test_an_answer_of_the_document_is_one_of_the_client(method: str, path: str, operation: dict[str, Any]) -> None:
    adapter: TypeAdapter[Any] = CALLS[method, path].answer
    schema = operation["responses"]["200"]["content"][JSON]["schema"]
    ours = adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    names = ours.pop("$defs", {})

    @settings(max_examples=5)
    @given(st.from_type(adapter._type))
    def holds(answer: Any) -> None:
        text = adapter.dump_json(answer)
        validator(schema).validate(json.loads(text))
        assert adapter.validate_json(text) == answer

    holds()
    assert fields_of(schema, DOCUMENT["components"]["schemas"]) == fields_of(ours, names)


def fields_of(schema: dict[str, Any], names: dict[str, Any]) -> Any:
    """The fields that a schema names, and theirs; what does not matter to a reader is left out."""
    if "$ref" in schema:
        return fields_of(names[schema["$ref"].rpartition("/")[2]], names)
    if "properties" in schema:
        return {name: fields_of(one, names) for name, one in schema["properties"].items()}
    patterns = schema.get("patternProperties", {None: None})
    inner = schema.get("items") or schema.get("additionalProperties") or next(iter(patterns.values()))
    if isinstance(inner, dict):
        return [schema["type"], fields_of(inner, names)]
    if "anyOf" in schema:
        return [fields_of(one, names) for one in schema["anyOf"]]
    return schema.get("type")


@pytest.mark.parametrize("make", list(REQUESTS), ids=lambda make: make.__name__)
def test_keyword_arguments_are_the_fields_of_the_request(make: Callable[..., Call[Any]]) -> None:
    model, typed = REQUESTS[make]
    assert set(get_type_hints(typed)) == set(model.model_fields)


def test_a_request_is_given_or_made_but_never_both() -> None:
    request = models.SearchRequest(query="shoes", k=3)
    assert calls.search(request).body == calls.search(query="shoes", k=3).body == b'{"query":"shoes","k":3}'
    with pytest.raises(ValueError, match="k: given together with a SearchRequest; give one"):
        calls.search(request, k=4)
    with pytest.raises(ValidationError, match="query"):
        calls.search(k=4)


def test_what_a_post_leaves_out_is_not_sent() -> None:
    body = calls.items(items=[ItemIn(item_id="i", title=None)]).body
    assert body == b'{"items":[{"item_id":"i","title":null}]}'


def test_both_clients_have_the_same_methods_and_their_documentation() -> None:
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert {name.lstrip("a") for name in dir(AsyncClient) if not name.startswith("_")} == {
        name.lstrip("a") for name in names
    }
    assert {"recommend", "export", "import_", "tier"} <= names
    for name in names:
        assert getattr(Client, name).__doc__
        assert getattr(AsyncClient, "aclose" if name == "close" else name).__doc__


def test_the_client_imports_httpx_and_pydantic_and_nothing_of_the_service() -> None:
    program = "import tierrec_client, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    folder = ROOT / "clients" / "python"
    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert {"httpx", "pydantic", "tierrec_client"} <= loaded
    service = {"services", "tierrec_core", "sqlalchemy", "fastapi", "starlette", "bentoml", "orjson"}
    numeric = {"numpy", "pandas", "scipy", "torch", "pyarrow"}
    assert loaded & (service | numeric) == set()


@given(st.lists(st.integers(1, 100_000), max_size=12))
def test_parts_are_small_and_lose_nothing(sizes: list[int]) -> None:
    batches, parts = ImportBatches(ItemRow), []
    for size in sizes:
        parts += [part for part in [batches.add(ItemIn(item_id="i", attributes={"x": "y" * size}))] if part]
    parts += [part for part in [batches.flush()] if part]
    lines = b"".join(parts).splitlines()
    assert [len(json.loads(line)["attributes"]["x"]) for line in lines] == sizes
    assert all(len(part) <= 1 << 18 for part in parts)
    assert batches.kind == "items"


@pytest.mark.parametrize(("seconds", "expected"), [(10.0, 30.0), (60.0, 60.0), (None, None)])
def test_a_batch_of_lists_is_waited_for_longer(seconds: float | None, expected: float | None) -> None:
    with httpx.Client(base_url="http://localhost", timeout=seconds) as http:
        timeouts = [
            CALLS["POST", path].build_request(http).extensions["timeout"] for path in ("/recommend/batch", "/recommend")
        ]
    assert [timeout["read"] for timeout in timeouts] == [expected, seconds]
    assert timeouts[0] | {"read": seconds} == timeouts[1]


def test_all_counts_of_the_answers_to_parts_are_added_up() -> None:
    batches = ImportBatches(ItemRow)
    answer = models.Imported(accepted=1, duplicates=2, deleted=3, rejected=4, lines=5)
    for _ in range(2):
        batches.add_answer(answer)
    counts = {name: count * 2 for name, count in answer.model_dump().items() if isinstance(count, int)}
    assert batches.total == models.Imported(**counts)


def test_rows_of_an_export_are_imported_as_what_they_are() -> None:
    kinds = [ImportBatches(model).kind for model in (EventIn, EventRow, ItemRow, UserIn)]
    assert kinds == ["events", "events", "items", "users"]
