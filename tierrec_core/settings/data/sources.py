"""Settings of the log's source, one class a kind."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from tierrec_core.base.params import Params, Share


class AnySource(Params):
    """feedback: add the events, items and users that the service recorded, from data/feedback."""

    feedback: bool = False


class CompleteJourneySource(AnySource):
    """The Complete Journey grocery data that the `demo` extra installs."""

    kind: Literal["complete_journey"] = "complete_journey"


class ColumnMap(Params):
    """Names of the log's columns in the user's files; None = the files have no such column."""

    user: str = "user_id"
    item: str = "item_id"
    event: str | None = None
    timestamp: str = "timestamp"
    value: str | None = None
    quantity: str | None = None
    session: str | None = None
    channel: str | None = None
    domain: str | None = None
    split: str | None = None


class ItemColumnMap(Params):
    """Names of the catalogue's columns in the user's file; further columns are kept as attributes."""

    item: str = "item_id"
    title: str | None = None
    category: str | None = None
    brand: str | None = None
    price: str | None = None


class FilesSource(AnySource):
    """One or more CSV or Parquet files with any column and event names.

    events maps event names in the files to the platform's; default_event is used when there is no event column.
    timestamp_unit: of numeric timestamps, since 1970; timezone: of text timestamps without an offset
    """

    kind: Literal["files"] = "files"
    paths: tuple[str, ...]
    separator: str = ","
    columns: ColumnMap = ColumnMap()
    events: dict[str, str] = Field(default={})
    default_event: str = "purchase"
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    timezone: str = "UTC"
    items_path: str | None = None
    item_columns: ItemColumnMap = ItemColumnMap()
    users_path: str | None = None
    user_column: str = "user_id"


class SyntheticSource(AnySource):
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
