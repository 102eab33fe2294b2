"""A typed client of the tierrec service, sync and async.

with Client("http://127.0.0.1:3000", key="trk_...") as client:
    client.events(events=[EventIn(key="e-1", user_id="1053", item_id="1082185", event="view")])
    for item in client.recommend(user_id="1053", k=5).items:
        print(item.item_id, item.title)
"""

from tierrec_client.client import AsyncClient, Client
from tierrec_client.errors import ServiceError
from tierrec_client.models import (
    Context,
    EventBatch,
    EventIn,
    Imported,
    ItemBatch,
    ItemIn,
    RecommendRequest,
    SearchRequest,
    SimilarRequest,
    UserBatch,
    UserIn,
)
from tierrec_client.rows import EventRow, ImpressionRow, ItemRow, UserRow

__all__ = [
    "AsyncClient",
    "Client",
    "Context",
    "EventBatch",
    "EventIn",
    "EventRow",
    "Imported",
    "ImpressionRow",
    "ItemBatch",
    "ItemIn",
    "ItemRow",
    "RecommendRequest",
    "SearchRequest",
    "ServiceError",
    "SimilarRequest",
    "UserBatch",
    "UserIn",
    "UserRow",
]
