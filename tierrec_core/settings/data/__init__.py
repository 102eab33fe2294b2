"""Settings of sources, validation, cleaning and splits."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from tierrec_core.base.params import Params, Share


class _AnySource(Params):
    """feedback: add the events, items and users that the service recorded, from data/feedback

    guests: user ids that stand for many people, such as 0, or "" for a missing id; their events count for the model
        `popularity` and for no user
    """

    feedback: bool = False
    guests: tuple[str, ...] = ()


class CompleteJourneySource(_AnySource):
    """The Complete Journey grocery data that the `demo` extra installs."""

    kind: Literal["complete_journey"] = "complete_journey"


ColumnNames = str | tuple[str, ...]


class ColumnMap(Params):
    """Names of the log's columns in the files; None where there is no such column.

    Of several names, the first filled cell counts, for files that call a column differently.
    time_of_day: beside a timestamp that has the day alone; timezone: of timestamps without an offset, in each row
    """

    user: ColumnNames = "user_id"
    item: ColumnNames = "item_id"
    event: ColumnNames | None = None
    timestamp: ColumnNames = "timestamp"
    time_of_day: ColumnNames | None = None
    timezone: ColumnNames | None = None
    value: ColumnNames | None = None
    currency: ColumnNames | None = None
    quantity: ColumnNames | None = None
    session: ColumnNames | None = None
    channel: ColumnNames | None = None
    domain: ColumnNames | None = None
    split: ColumnNames | None = None

    def names(self, field: str) -> tuple[str, ...]:
        """The names of a column; empty where there is no such column."""
        names: ColumnNames | None = getattr(self, field)
        return (names,) if isinstance(names, str) else names or ()


class ItemColumnMap(Params):
    """Names of the item file's columns; further columns are kept as attributes."""

    item: str = "item_id"
    title: str | None = None
    category: str | None = None
    brand: str | None = None
    price: str | None = None


class TableFormat(Params):
    """How the files are written.

    quote: of CSV cells; if empty, quotation marks are text
    escape: the character before a quotation mark that is text, if there is one, besides doubled marks
    decimal: mark of numbers in texts, where the other mark separates thousands
    explode: a column of lists of structs in Parquet or JSON, such as GA4's items; each struct becomes a row
    time_format: strptime pattern of text timestamps, else detected
    """

    separator: str = Field(",", min_length=1)
    quote: str = Field('"', max_length=1)
    escape: str = Field("", max_length=1)
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    explode: str | None = None
    time_format: str | None = None


class FilesSource(TableFormat, _AnySource):
    """Files of CSV, JSON lines or Parquet with any column and event names.

    events maps event names in the files to the platform's, to `return` or to `ignore`, "" those of rows without one;
        default_event is used when there is no event column
    file_events: by path or glob, such as *views*, the event of files without an event column, before default_event
    timestamp_unit: of numeric timestamps, since 1970, or days since 1900
    timezone: of timestamps without an offset
    formats: by path or glob, in which of the settings of TableFormat a file differs from those of the source
    unit_price: whether value is the price of one piece, to be multiplied by quantity
    returned: columns with the number of a row's pieces that came back or were cancelled, by which its quantity and
        value are lowered; a row without any left is dropped
    currency: of the values that count, such as EUR; those of another one in columns.currency are left empty
    minor_units: columns of values and prices in cents, which are divided by 100, but in currencies that have none; and
        in micros, by name (price_micros), which are divided by 1,000,000
    order_lines: whether the first line of a session alone names its user and time, and perhaps the session itself, as
        in exports of orders
    daily_sessions: whether the numbers of sessions start again each day, as those of receipts do
    exclude: by column, values in any case whose rows are left out, such as Status: [cancelled, refunded]; `*` is any
        value but an empty one and zeros, as of cancelled_at
    """

    kind: Literal["files"] = "files"
    paths: tuple[str, ...]
    formats: dict[str, TableFormat] = Field(default={})
    columns: ColumnMap = ColumnMap()
    events: dict[str, str] = Field(default={})
    default_event: str = "purchase"
    file_events: dict[str, str] = Field(default={})
    unit_price: bool = False
    returned: tuple[str, ...] = ()
    currency: str | None = None
    minor_units: tuple[str, ...] = ()
    order_lines: bool = False
    daily_sessions: bool = False
    exclude: dict[str, tuple[str, ...]] = Field(default={})
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "days"] = "auto"
    timezone: str = "UTC"
    items_path: str | None = None
    item_columns: ItemColumnMap = ItemColumnMap()
    users_path: str | None = None
    user_column: str = "user_id"


class SyntheticSource(_AnySource):
    """Synthetic log with known tiers, interests and drift, for tests and demonstrations."""

    kind: Literal["synthetic"] = "synthetic"
    num_users: PositiveInt = 600
    num_items: PositiveInt = 300
    num_categories: PositiveInt = 10
    days: PositiveInt = 180
    start: datetime = datetime(2024, 1, 1)
    drift_day: PositiveInt | None = None
    drift_share: Share = 0.4


Source = Annotated[CompleteJourneySource | FilesSource | SyntheticSource, Field(discriminator="kind")]


class ValidateSettings(Params):
    """Limits of the data quality gate. Shares are shares of rows."""

    max_bad_share: Share = 0.05
    max_duplicate_share: Share = 0.05
    max_age_days: PositiveInt | None = None
    min_day_share_of_median: Share = 0.1
    max_quiet_days_share: Share = 0.1
    max_categories: PositiveInt = 5000
    max_id_length: PositiveInt = 256
    earliest: datetime = datetime(2000, 1, 1)
    latest: datetime | None = None


class PrepareSettings(Params):
    """Cleaning and sessionization of a validated log."""

    engine: Literal["duckdb", "spark"] = "duckdb"
    session_gap_minutes: PositiveFloat = 30.0
    max_events_per_day: PositiveInt = 1000
    min_events_per_user: PositiveInt = 1


def _reject_number(value: Any) -> Any:
    """Reject a number, also in quotes, which pydantic would read as seconds since 1970."""
    try:
        float(value)
    except (TypeError, ValueError):
        return value
    raise ValueError("wanted a date such as 2024-01-31")


class TimeSplit(Params):
    """Events before `cut` are training data.

    cut: `last 28 days` (from the day of the newest event back, so that it moves with the log), a date, or the share of
    events before it
    """

    kind: Literal["time"] = "time"
    cut: (
        Annotated[datetime, BeforeValidator(_reject_number)]
        | Annotated[float, Field(gt=0, lt=1)]
        | Annotated[str, Field(pattern=r"^last [1-9]\d* days?$")]
    ) = 0.8

    @field_validator("cut", mode="wrap")
    @classmethod
    def _say_what_is_wanted(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            return read(value)
        except ValidationError as error:
            raise ValueError("wanted `last 28 days`, a date such as 2024-01-31, or a share between 0 and 1") from error

    @property
    def last_days(self) -> int | None:
        """The number of days of a cut such as `last 28 days`; None for another cut."""
        return int(self.cut.split()[1]) if isinstance(self.cut, str) else None


class GivenSplit(Params):
    """Events with `test` in the `split` column are the test set."""

    kind: Literal["given"] = "given"


class LeaveLastOut(Params):
    """Each user's last event is the test set."""

    kind: Literal["leave_last_out"] = "leave_last_out"


class SplitSettings(Params):
    """Train/test split, target events, and the catalogue: items with enough users in the training data."""

    by: Annotated[TimeSplit | GivenSplit | LeaveLastOut, Field(discriminator="kind")] = TimeSplit()
    min_users_per_item: PositiveInt = 10
    target: tuple[str, ...] = ("purchase",)
