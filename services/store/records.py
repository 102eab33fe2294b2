"""What goes into the feedback store and what comes out of it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tierrec_core.base.errors import DataError


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """What a user did to an item, as in contracts.EVENTS.

    key: idempotency key; of two events with one key the first is kept
    timestamp: when it happened, with a time zone
    request_id: the answer that it follows, where the client knows
    """

    key: str
    user_id: str
    item_id: str
    event: str
    timestamp: datetime
    value: float | None = None
    quantity: float | None = None
    session_id: str | None = None
    channel: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredEvent(NewEvent):
    """An event that is kept. id grows with every commit; received_at is the store's clock, in UTC."""

    id: int
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Impression:
    """An answer that was given.

    user_id: None for a visitor without an id
    items: ids of what was shown, best first
    path: who ranked it; reason: why nobody better did, None where the best one did
    propensity: probability with which the variant was drawn
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
    """An item that was posted live, with all its attributes. revision grows with every commit; the store gives it."""

    item_id: str
    attributes: Mapping[str, Any]
    revision: int = 0


@dataclass(frozen=True)
class PostedUser:
    """A user who was posted live, with all their attributes. revision grows with every commit; the store gives it."""

    user_id: str
    attributes: Mapping[str, Any]
    revision: int = 0


@dataclass(frozen=True)
class Acknowledgement:
    """How many events of a batch are new, and how many the store had already. All are on disk."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class Erased:
    """How many rows of each table an erasure took."""

    events: int
    impressions: int
    users: int


@dataclass(frozen=True)
class ErasureRecord:
    """A user to be forgotten by whoever holds them in memory or in a model.

    id: grows with every commit
    user_hash: the hash that the caller of erase_user gave
    last_event_id: what the user does after this event is kept
    """

    id: int
    user_hash: str
    last_event_id: int
    at: datetime


def check(records: Iterable[NewEvent | Impression | PostedItem | PostedUser]) -> None:
    """Raise DataError for what one database would keep and the other refuse or change."""
    for record in records:
        for name, value in vars(record).items():
            problem = _problem(value)
            if problem is not None:
                raise DataError(f"store: {name} of a {type(record).__name__} {problem}")


def _problem(value: object) -> str | None:
    """What is wrong with a field's value and what to do about it; None when it can be kept."""
    if isinstance(value, str) and ("\x00" in value or _is_broken(value)):
        return "holds a NUL or half a character; send whole characters"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; send a finite number or none"
    if isinstance(value, datetime):
        return _moment_problem(value)
    if isinstance(value, tuple):
        return next((problem for problem in map(_problem, value) if problem), None)
    return _json_problem(value) if isinstance(value, Mapping) else None


def _moment_problem(value: datetime) -> str | None:
    if value.utcoffset() is None:
        return "has no time zone; send an offset, such as Z"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "lies outside of the years 1 to 9999 in UTC; send a moment within them"
    return None


def _json_problem(value: Mapping[str, Any]) -> str | None:
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        return f"are not JSON ({error}); send texts, finite numbers, truth values and lists of them"
    return "hold half a character; send whole characters" if _is_broken(text) else None


def _is_broken(text: str) -> bool:
    """Whether a text holds a surrogate, which UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
