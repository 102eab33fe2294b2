"""The frames that cross a stage: for each column its type, whether it may be empty, its unit and its meaning."""

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
    """What a user can do to an item, weakest interest first."""

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


@dataclass(frozen=True)
class Column:
    """One column: a pandas dtype, whether it must be there and filled, and what it means."""

    dtype: str
    meaning: str
    required: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Contract:
    """A frame's columns by name. Further columns may be present unless the contract is closed."""

    name: str
    columns: Mapping[str, Column]
    closed: bool = True

    @property
    def required(self) -> list[str]:
        """Names of the columns that must be present and filled."""
        return [name for name, column in self.columns.items() if column.required]

    def conform(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Cast to the contract's types, add optional columns as empty, and order the columns.

        Raises MissingColumnError when a required column is absent; `where` names the file or stage.
        """
        missing = [name for name in self.required if name not in frame.columns]
        if missing:
            raise MissingColumnError(
                f"{where}: column {missing[0]!r} is missing from {self.name}; "
                f"found {', '.join(map(str, frame.columns))}"
            )
        extra = [] if self.closed else [name for name in frame.columns if name not in self.columns]
        cast = {
            name: frame[name].astype(pd.api.types.pandas_dtype(column.dtype))
            if name in frame
            else pd.Series(pd.NA, index=frame.index, dtype=column.dtype)
            for name, column in self.columns.items()
        }
        return pd.DataFrame(cast | {name: frame[name] for name in extra})


_TIME = "datetime64[us, UTC]"

EVENTS = Contract(
    "EVENTS",
    {
        "user_id": Column("string[pyarrow]", "who", required=True),
        "item_id": Column("string[pyarrow]", "what; a campaign's id for redeem events", required=True),
        "event": Column("string[pyarrow]", "one of contracts.Event", required=True),
        "timestamp": Column(_TIME, "when, in UTC", required=True),
        "value": Column("Float64", "money paid, or the rating given", unit="currency or stars"),
        "quantity": Column("Float64", "how many; negative for a return", unit="pieces"),
        "session_id": Column("string[pyarrow]", "basket or visit; derived from gaps in time where absent"),
        "channel": Column("string[pyarrow]", "where or how: store, web, app; coupon = bought with a coupon"),
        "domain": Column("string[pyarrow]", "shop or section, where one log holds several"),
        "split": Column("string[pyarrow]", "train or test, where the log brings its own split"),
    },
)

ITEMS = Contract(
    "ITEMS",
    {
        "item_id": Column("string[pyarrow]", "what", required=True),
        "title": Column("string[pyarrow]", "what a person reads"),
        "category": Column("string[pyarrow]", "the interest layers are made of these"),
        "brand": Column("string[pyarrow]", "maker or label"),
        "price": Column("Float64", "usual price of one piece", unit="currency"),
    },
    closed=False,
)

USERS = Contract(
    "USERS",
    {
        "user_id": Column(
            "string[pyarrow]",
            "who; every further column is for audits only, never a model's input",
            required=True,
        )
    },
    closed=False,
)

EXPOSURES = Contract(
    "EXPOSURES",
    {
        "item_id": Column("string[pyarrow]", "what was promoted", required=True),
        "week": Column(_TIME, "first instant of the week, UTC", required=True),
        "display": Column("Float64", "share of stores that displayed it", required=True, unit="share"),
        "mailer": Column("Float64", "share of stores whose mailer showed it", required=True, unit="share"),
    },
)
