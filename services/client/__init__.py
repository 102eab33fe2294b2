"""A typed client of the service, sync and async; it needs httpx and pydantic, and no other part of tierrec's.

with Client("http://127.0.0.1:3000", key="trk_...") as client:
    client.events(events=[EventIn(key="e-1", user_id="1053", item_id="1082185", event="view")])
    for item in client.recommend(user_id="1053", k=5).items:
        print(item.item_id, item.title)
"""

from services.client.client import AsyncClient, Client
from services.client.errors import ServiceError
from services.transfer.records import EventRow, Imported, ImpressionRow, ItemRow, UserRow

__all__ = [
    "AsyncClient",
    "Client",
    "EventRow",
    "Imported",
    "ImpressionRow",
    "ItemRow",
    "ServiceError",
    "UserRow",
]
