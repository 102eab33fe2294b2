"""The limits of a request, and that a refusal does not repeat what was sent."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.schemas import RecommendRequest


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"k": 0}, ("k",)),
        ({"k": 101}, ("k",)),
        ({"user": "a"}, ("user",)),
        ({"user_id": ""}, ("user_id",)),
        ({"user_id": "x" * 257}, ("user_id",)),
        ({"history": ["x"] * 1001}, ("history",)),
        ({"exclude": ["x"] * 1001}, ("exclude",)),
        ({"surface": "ads"}, ("surface",)),
        ({"task": "never"}, ("task",)),
        ({"user_id": "a", "history": []}, ()),
    ],
)
def test_refuses_and_names_the_field(body: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        RecommendRequest.model_validate(body)
    assert [problem["loc"] for problem in refused.value.errors()] == [place]


def test_edges_are_inside() -> None:
    RecommendRequest.model_validate({"k": 1, "history": ["x" * 256] * 1000, "exclude": ["x"] * 1000})
    RecommendRequest.model_validate({"k": 100, "user_id": "x" * 256, "surface": "products", "task": "next"})


def test_refusal_does_not_repeat_a_persons_id() -> None:
    with pytest.raises(ValidationError) as refused:
        RecommendRequest.model_validate({"user_id": "alice", "history": ["bread"]})
    assert "alice" not in str(refused.value)
    assert "bread" not in str(refused.value)
