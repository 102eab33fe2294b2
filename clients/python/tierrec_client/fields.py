"""The fields of each request as keyword arguments; tierrec_client.models describes them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from tierrec_client.models import Context, EventIn, ItemIn, RecommendRequest, UserIn


class ListFields(TypedDict, total=False):
    """Fields of every request for a list."""

    user_id: str | None
    exclude: Sequence[str]
    filter: str | None
    cursor: str | None
    context: Context | Mapping[str, Any]


class RecommendFields(ListFields, total=False):
    """Fields of RecommendRequest."""

    history: Sequence[str] | None
    surface: Literal["products", "ads", "campaigns", "onboarding", "rank"]
    task: Literal["next", "discovery"] | None
    k: int | None
    items: Sequence[str] | None
    explain: bool


class BatchFields(TypedDict, total=False):
    """Fields of RecommendBatch; requests are required."""

    requests: Sequence[RecommendRequest]


class SearchFields(ListFields, total=False):
    """Fields of SearchRequest; query is required."""

    query: str
    k: int


class SimilarFields(ListFields, total=False):
    """Fields of SimilarRequest; item_id is required."""

    item_id: str
    k: int


class EventFields(TypedDict, total=False):
    """Fields of EventBatch; events are required."""

    events: Sequence[EventIn]


class ItemFields(TypedDict, total=False):
    """Fields of ItemBatch; items are required."""

    items: Sequence[ItemIn]


class UserFields(TypedDict, total=False):
    """Fields of UserBatch; users are required."""

    users: Sequence[UserIn]
