"""The feedback store (SQLAlchemy): events, impressions, posted items and users, acknowledged after commit."""

from services.store.records import (
    Acknowledged,
    Deletion,
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
    "Deletion",
    "Erasure",
    "Impression",
    "KeyConflict",
    "NewEvent",
    "PostedItem",
    "PostedUser",
    "Store",
    "StoreError",
]
