"""Records of the feedback store, the check of their values, and its error."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tierrec_core.base.errors import DataError, TierRecError


class StoreError(TierRecError):
    """The feedback store is unreachable, full or locked; anything not acknowledged can be posted again."""


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event to be stored, as in contracts.EVENTS.

    key: idempotency key; of two events with the same key the first is kept
    timestamp: with a time zone; None = when it is stored
    request_id: of the answer that showed the item, if known
    """

    key: str
    user_id: str
    item_id: str
    event: str
    timestamp: datetime | None = None
    value: float | None = None
    quantity: float | None = None
    session_id: str | None = None
    channel: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredEvent(NewEvent):
    """A stored event. id grows with every commit; received_at is the store's clock, in UTC."""

    id: int
    timestamp: datetime
    received_at: datetime

    def has_body_of(self, event: NewEvent) -> bool:
        """Whether another event with its key has the same fields; a timestamp that is left out is any."""
        given = {name: value for name, value in vars(event).items() if name != "timestamp" or value is not None}
        return all(getattr(self, name) == value for name, value in given.items())


@dataclass(frozen=True, kw_only=True)
class Impression:
    """An answer of the service.

    user_id: None for an anonymous visitor
    items: ids of the items shown, best first
    path: the ranking strategy; reason: why no better one ranked the list, None if the best one did
    propensity: probability with which the variant was assigned
    """

    request_id: str
    user_id: str | None
    surface: str
    items: tuple[str, ...]
    path: str
    model_version: str
    at: datetime
    reason: str | None = None
    variant: str | None = None
    experiment: str | None = None
    propensity: float = 1.0


@dataclass(frozen=True)
class PostedItem:
    """A posted item with all its attributes. revision grows with every commit; the store assigns it.

    attributes: None = what was posted before is deleted, and the item is not served until it is posted again
    """

    item_id: str
    attributes: Mapping[str, Any] | None
    revision: int = 0


@dataclass(frozen=True)
class PostedUser:
    """A posted user with all their attributes. revision grows with every commit; the store assigns it.

    attributes: None = what was posted before is deleted
    """

    user_id: str
    attributes: Mapping[str, Any] | None
    revision: int = 0


@dataclass(frozen=True)
class KeyConflict:
    """An event that is not stored, since another one has its key. index: its position in the batch, from 0."""

    index: int
    key: str
    status: int = 409
    reason: str = "key: is stored with another event; send this one with a key of its own"


@dataclass(frozen=True)
class Acknowledged:
    """What is safely stored now. duplicates were stored before; errors: the others, which are not stored."""

    accepted: int
    duplicates: int
    errors: tuple[KeyConflict, ...] = ()


@dataclass(frozen=True)
class Erasure:
    """Rows that were deleted; from now on the user is unknown, also to the model.

    complete: whether the files have no copies either; if not, the service removes them later
    """

    events: int
    impressions: int
    users: int
    complete: bool = True


@dataclass(frozen=True)
class Deletion:
    """Of how many items or users the posted attributes were deleted; 0 if nothing was posted."""

    deleted: int


@dataclass(frozen=True)
class ErasureRecord:
    """An erased user, to be removed from memory and models too.

    id: grows with every commit
    user_hash: as given to erase_user
    last_event_id: later events of the user are kept
    """

    id: int
    user_hash: str
    last_event_id: int
    at: datetime


def check_storable(records: Iterable[NewEvent | Impression | PostedItem | PostedUser]) -> None:
    """Raise DataError for a value that SQLite or PostgreSQL would refuse or change."""
    for record in records:
        for name, value in vars(record).items():
            problem = _problem(value)
            if problem is not None:
                raise DataError(f"store: {name} of a {type(record).__name__} {problem}")


def _problem(value: object) -> str | None:
    """What is wrong with a value, and how to correct it; None if it can be stored."""
    if isinstance(value, str) and ("\x00" in value or _has_surrogate(value)):
        return "holds a NUL or a lone surrogate; send valid Unicode without NUL"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; send a finite number or none"
    if isinstance(value, datetime):
        return _timestamp_problem(value)
    if isinstance(value, tuple):
        return next((problem for problem in map(_problem, value) if problem), None)
    return _json_problem(value) if isinstance(value, Mapping) else None


def _timestamp_problem(value: datetime) -> str | None:
    if value.utcoffset() is None:
        return "has no time zone; send an offset, such as Z"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "lies outside of the years 1 to 9999 in UTC; send a time within them"
    return None


def _json_problem(value: Mapping[str, Any]) -> str | None:
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        return f"are not JSON ({error}); send strings, finite numbers, booleans and lists of them"
    return "hold a lone surrogate; send valid Unicode" if _has_surrogate(text) else None


def _has_surrogate(text: str) -> bool:
    """Whether a text holds a surrogate, which UTF-8 cannot encode."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
