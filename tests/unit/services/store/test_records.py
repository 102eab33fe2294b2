"""What no database keeps unchanged is refused before any database sees it."""

from datetime import UTC, datetime

import pytest

from services.store.records import Impression, NewEvent, PostedItem, check_storable
from tierrec_core.base.errors import DataError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(**changes):
    return NewEvent(**{"key": "k", "user_id": "u", "item_id": "i", "event": "view", "timestamp": NOW} | changes)


def impression(*items):
    return Impression(request_id="r", user_id=None, surface="ads", items=items, path="cold", model_version="m", at=NOW)


REFUSED = {
    "NUL": (event(user_id="a\x00b"), "user_id of a NewEvent holds a NUL"),
    "lone surrogate": (event(channel="\ud83d"), "channel of a NewEvent holds a NUL or a lone surrogate"),
    "no number": (event(value=float("nan")), "value of a NewEvent is nan"),
    "endless": (event(quantity=float("-inf")), "quantity of a NewEvent is -inf"),
    "no zone": (event(timestamp=datetime(2026, 1, 1)), "timestamp of a NewEvent has no time zone"),
    "NUL in a list": (impression("a", "b\x00"), "items of a Impression holds a NUL"),
    "NaN attribute": (PostedItem("i", {"price": float("nan")}), "attributes of a PostedItem are not JSON"),
    "date attribute": (PostedItem("i", {"until": NOW}), "attributes of a PostedItem are not JSON"),
    "surrogate attribute": (PostedItem("i", {"\udc00": 1}), "attributes of a PostedItem hold a lone surrogate"),
}


@pytest.mark.parametrize(("record", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_name(record, message):
    with pytest.raises(DataError, match=message):
        check_storable([event(), record])


@pytest.mark.parametrize("text", ["", "ü", "🛒", "a\nb", "\\u0000", "' or 1=1 --", "x" * 10_000])
def test_every_whole_text_is_kept(text):
    check_storable(
        [event(user_id=text, session_id=text), impression(text), PostedItem(text, {"a": [text, 1, None, True]})]
    )
