"""The feedback store (SQLAlchemy): events, impressions, posted items and users, acknowledged after commit."""

from services.store.errors import StoreError
from services.store.records import (
    Acknowledgement,
    Erased,
    ErasureRecord,
    Impression,
    NewEvent,
    PostedItem,
    PostedUser,
    StoredEvent,
)
from services.store.store import Store

__all__ = [
    "Acknowledgement",
    "Erased",
    "ErasureRecord",
    "Impression",
    "NewEvent",
    "PostedItem",
    "PostedUser",
    "Store",
    "StoreError",
    "StoredEvent",
]
