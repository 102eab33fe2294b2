"""The limits of a request, and that a refusal does not repeat what was sent."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.schemas import EventBatch, ItemIn, RecommendRequest, SearchRequest, SimilarRequest, UserIn


def test_edges_are_inside() -> None:
    RecommendRequest.model_validate({"k": 1, "history": ["x" * 256] * 1000, "exclude": ["x"] * 1000})
    RecommendRequest.model_validate({"k": 100, "user_id": "x" * 256, "surface": "products", "task": "next"})


def test_a_list_is_as_long_as_asked_and_rank_as_long_as_given() -> None:
    assert RecommendRequest(k=7).num_items == 7
    assert RecommendRequest().num_items == 10
    assert RecommendRequest(surface="rank", items=("a",) * 500).num_items == 500
    assert RecommendRequest(surface="rank", items=("a", "b"), k=1).num_items == 1


EVENT = {"key": "k", "user_id": "u", "item_id": "i", "event": "view"}


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        (RecommendRequest, {"k": 0}, ("k",)),
        (RecommendRequest, {"k": 101}, ("k",)),
        (RecommendRequest, {"user": "a"}, ("user",)),
        (RecommendRequest, {"user_id": ""}, ("user_id",)),
        (RecommendRequest, {"user_id": "x" * 257}, ("user_id",)),
        (RecommendRequest, {"history": ["x"] * 1001}, ("history",)),
        (RecommendRequest, {"exclude": ["x"] * 1001}, ("exclude",)),
        (RecommendRequest, {"user_id": "a\0b"}, ("user_id",)),
        (RecommendRequest, {"user_id": "\ud800"}, ("user_id",)),
        (RecommendRequest, {"surface": "walls"}, ("surface",)),
        (RecommendRequest, {"filter": "x" * 2001}, ("filter",)),
        (RecommendRequest, {"cursor": "x" * 32_769}, ("cursor",)),
        (RecommendRequest, {"context": {"basket": ["x"] * 1001}}, ("context", "basket")),
        (
            RecommendRequest,
            {"context": {"attributes": {str(one): one for one in range(51)}}},
            ("context", "attributes"),
        ),
        (RecommendRequest, {"surface": "rank"}, ()),
        (RecommendRequest, {"items": ["x"]}, ()),
        (RecommendRequest, {"user_id": "a", "history": []}, ()),
        (EventBatch, {"events": []}, ("events",)),
        (EventBatch, {"events": [EVENT] * 1001}, ("events",)),
        (EventBatch, {"events": [EVENT | {"event": "wink"}]}, ("events", 0, "event")),
        (EventBatch, {"events": [EVENT | {"timestamp": "2024-01-01T00:00:00"}]}, ("events", 0, "timestamp")),
        (EventBatch, {"events": [EVENT | {"value": -1}]}, ("events", 0, "value")),
        (EventBatch, {"events": [EVENT | {"quantity": "nan"}]}, ("events", 0, "quantity")),
        (EventBatch, {"events": [EVENT | {"quantity": True}]}, ("events", 0, "quantity")),
        (ItemIn, {"item_id": "i", "stock": True}, ("stock",)),
        (ItemIn, {"item_id": "i", "price": -0.01}, ("price",)),
        (ItemIn, {"item_id": "i", "price": "inf"}, ("price",)),
        (ItemIn, {"item_id": "i", "colour": "red"}, ("colour",)),
        (ItemIn, {"item_id": "i", "title": "x" * 501}, ("title",)),
        (UserIn, {"user_id": "u", "attributes": {str(one): 1 for one in range(101)}}, ("attributes",)),
        (SearchRequest, {"query": ""}, ("query",)),
        (SearchRequest, {"query": "x" * 201}, ("query",)),
        (SimilarRequest, {"item_id": "i", "k": 101}, ("k",)),
    ],
)
def test_a_body_is_refused_by_the_name_of_its_field(
    kind: type[BaseModel], body: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(body)
    found = [problem["loc"] for problem in refused.value.errors()]
    assert found in ([place], [place, ("events",)])  # the second: a faulty event is named within its batch


def test_refusal_does_not_repeat_a_persons_id() -> None:
    with pytest.raises(ValidationError) as refused:
        RecommendRequest.model_validate({"user_id": "alice", "history": ["bread"]})
    assert "alice" not in str(refused.value)
    assert "bread" not in str(refused.value)


def test_ids_have_the_form_in_which_the_log_is_read():
    assert RecommendRequest(user_id="Anna@Shop.test\u200b", exclude=("A  1",)).user_id == "anna@shop.test"
    assert RecommendRequest(user_id="Anna@Shop.test", exclude=("A  1",)).exclude == ("A 1",)
