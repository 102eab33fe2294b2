"""Frames are brought into their contract's types and order, or refused by name."""

import pandas as pd
import pytest

from tierrec_core.base.contracts import EVENT_CODES, EVENT_NAMES, EVENTS, EXPOSURES, ITEMS, USERS
from tierrec_core.base.errors import MissingColumnError, TierRecError

ROW = {"user_id": 7, "item_id": "i1", "event": "purchase", "timestamp": "2024-01-01T00:00:00+02:00"}


def test_events_get_their_types_and_order() -> None:
    frame = EVENTS.conform(pd.DataFrame([ROW | {"value": 3, "secret": 1}]), "log.csv")
    assert list(frame.columns) == list(EVENTS.columns)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: "string" if column.dtype.startswith("string") else column.dtype for name, column in EVENTS.columns.items()
    }
    assert frame["user_id"][0] == "7"
    assert frame["timestamp"][0] == pd.Timestamp("2023-12-31T22:00", tz="UTC")
    assert frame["session_id"].isna().all()


def test_conforming_twice_changes_nothing(events) -> None:
    pd.testing.assert_frame_equal(EVENTS.conform(events, "again"), events)


@pytest.mark.parametrize("contract", [EVENTS, ITEMS, USERS, EXPOSURES])
def test_each_required_column_is_missed_by_name(contract) -> None:
    whole = pd.DataFrame({name: pd.Series(dtype=column.dtype) for name, column in contract.columns.items()})
    assert len(contract.conform(whole, "f")) == 0
    for name in contract.required:
        with pytest.raises(MissingColumnError, match=f"f.csv: column '{name}' is missing"):
            contract.conform(whole.drop(columns=name), "f.csv")


def test_items_keep_attributes_of_their_own() -> None:
    frame = ITEMS.conform(pd.DataFrame({"item_id": ["a"], "colour": ["red"]}), "items.csv")
    assert frame["colour"][0] == "red"
    assert frame["category"].isna().all()


def test_event_codes_are_the_positions_of_names() -> None:
    assert [EVENT_NAMES[EVENT_CODES[name]] for name in EVENT_NAMES] == list(EVENT_NAMES)


def test_errors_have_one_root() -> None:
    assert issubclass(MissingColumnError, TierRecError)
