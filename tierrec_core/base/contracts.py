"""Data contracts of the frames that stages exchange: each column's type, unit and meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from tierrec_core.base.errors import MissingColumnError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


class Event(StrEnum):
    """Kinds of user-item interaction, ordered from weakest to strongest interest."""

    IMPRESSION = "impression"
    VIEW = "view"
    CLICK = "click"
    FAVOURITE = "favourite"
    CART = "cart"
    RATING = "rating"
    PURCHASE = "purchase"
    REDEEM = "redeem"


EVENT_NAMES: tuple[str, ...] = tuple(Event)
EVENT_CODES: Mapping[str, int] = {name: code for code, name in enumerate(EVENT_NAMES)}
REPEATED_HEADER, CUT_LINE = "(repeated header)", "(cut line)"  # in place of an event, where a row is none
RETURN = "return"  # in source.events: a purchase of as many pieces fewer
GUEST = "(guest)"  # user_id of events without a known user


@dataclass(frozen=True)
class Column:
    """A column: its pandas dtype, its meaning, and whether it must be present and filled."""

    dtype: str
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class Contract:
    """A frame's columns by name. Additional columns are kept unless the contract is closed."""

    name: str
    columns: Mapping[str, Column]
    closed: bool = True

    @property
    def required(self) -> list[str]:
        """Names of the columns that must be present and filled."""
        return [name for name, column in self.columns.items() if column.required]

    def conform(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Cast columns to the contract's types, add missing optional columns as empty, and order the columns.

        Raises MissingColumnError when a required column is absent; `where` names the file or stage.
        """
        missing = [name for name in self.required if name not in frame.columns]
        if missing:
            raise MissingColumnError(
                f"{where}: column {missing[0]!r} is missing from {self.name}; "
                f"found {', '.join(map(str, frame.columns))}; add it, or rerun the stage that writes the frame"
            )
        extra = [] if self.closed else [name for name in frame.columns if name not in self.columns]
        cast = {
            name: frame[name].astype(pd.api.types.pandas_dtype(column.dtype))
            if name in frame
            else pd.Series(pd.NA, index=frame.index, dtype=column.dtype)
            for name, column in self.columns.items()
        }
        return pd.DataFrame(cast | {name: frame[name] for name in extra})


def is_guest(events: pd.DataFrame) -> pd.Series:
    """Whether each event is of a guest, [N]."""
    return events["user_id"].eq(GUEST).fillna(value=False).astype(bool)


_TIME = "datetime64[us, UTC]"

EVENTS = Contract(
    "EVENTS",
    {
        "user_id": Column("string[pyarrow]", "user id", required=True),
        "item_id": Column("string[pyarrow]", "item id; a campaign's id for redeem events", required=True),
        "event": Column("string[pyarrow]", "one of contracts.Event", required=True),
        "timestamp": Column(_TIME, "time of the event, UTC", required=True),
        "value": Column("Float64", "money paid in the shop's currency, or the rating given"),
        "quantity": Column("Float64", "number of pieces; negative for a return"),
        "session_id": Column("string[pyarrow]", "basket or visit; derived from time gaps where absent"),
        "channel": Column("string[pyarrow]", "store, web or app; coupon = bought with a coupon"),
        "domain": Column("string[pyarrow]", "shop or section, where a log covers several"),
        "split": Column("string[pyarrow]", "train or test, where the log has a given split"),
    },
)

ITEMS = Contract(
    "ITEMS",
    {
        "item_id": Column("string[pyarrow]", "item id", required=True),
        "title": Column("string[pyarrow]", "display name"),
        "category": Column("string[pyarrow]", "category; interest layers group these"),
        "brand": Column("string[pyarrow]", "brand or manufacturer"),
        "price": Column("Float64", "usual price of one piece, in the shop's currency"),
    },
    closed=False,
)

USERS = Contract(
    "USERS",
    {
        "user_id": Column(
            "string[pyarrow]", "user id; further columns are used for audits only, never as model input", required=True
        )
    },
    closed=False,
)

EXPOSURES = Contract(
    "EXPOSURES",
    {
        "item_id": Column("string[pyarrow]", "promoted item", required=True),
        "week": Column(_TIME, "first instant of the week, UTC", required=True),
        "display": Column("Float64", "share of stores that displayed it", required=True),
        "mailer": Column("Float64", "share of stores whose mailer showed it", required=True),
    },
)
