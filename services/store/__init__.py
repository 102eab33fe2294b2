"""The feedback store (SQLAlchemy): events, impressions, posted items and users, acknowledged after commit."""

from services.store.records import (
    Acknowledged,
    Erasure,
    Impression,
    KeyConflict,
    NewEvent,
    PostedItem,
    PostedUser,
    StoreError,
)
from services.store.store import Store

__all__ = [
    "Acknowledged",
    "Erasure",
    "Impression",
    "KeyConflict",
    "NewEvent",
    "PostedItem",
    "PostedUser",
    "Store",
    "StoreError",
]
