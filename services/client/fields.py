"""The fields of each request as keyword arguments; the models in services.schemas say what they mean."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from services.schemas import Context, EventIn, ItemIn, UserIn


class ListFields(TypedDict, total=False):
    """What all lists take."""

    user_id: str | None
    exclude: Sequence[str]
    filter: str | None
    cursor: str | None
    context: Context | Mapping[str, Any]


class RecommendFields(ListFields, total=False):
    """Of RecommendRequest."""

    history: Sequence[str] | None
    surface: Literal["products", "ads", "campaigns", "onboarding", "rank"]
    task: Literal["next", "discovery"] | None
    k: int | None
    items: Sequence[str] | None
    explain: bool


class SearchFields(ListFields, total=False):
    """Of SearchRequest; query is needed."""

    query: str
    k: int


class SimilarFields(ListFields, total=False):
    """Of SimilarRequest; item_id is needed."""

    item_id: str
    k: int


class EventFields(TypedDict, total=False):
    """Of EventBatch; events are needed."""

    events: Sequence[EventIn]


class ItemFields(TypedDict, total=False):
    """Of ItemBatch; items are needed."""

    items: Sequence[ItemIn]


class UserFields(TypedDict, total=False):
    """Of UserBatch; users are needed."""

    users: Sequence[UserIn]
