"""Settings of validation, cleaning and the train/test split."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from tierrec_core.base.params import Params, Share


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
    """Reject a number, which pydantic would read as seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("wanted a date such as 2024-01-31")
    return value


class TimeSplit(Params):
    """Events before `cut` are training data; cut is a date, or the share of events before it."""

    kind: Literal["time"] = "time"
    cut: Annotated[datetime, BeforeValidator(_reject_number)] | Annotated[float, Field(gt=0, lt=1)] = 0.8


class GivenSplit(Params):
    """Events whose `split` column holds `test` are the test."""

    kind: Literal["given"] = "given"


class LeaveLastOut(Params):
    """Each user's last event is the test."""

    kind: Literal["leave_last_out"] = "leave_last_out"


class SplitSettings(Params):
    """Train/test split, target events, and the catalogue: items with enough users in the training data."""

    by: Annotated[TimeSplit | GivenSplit | LeaveLastOut, Field(discriminator="kind")] = TimeSplit()
    min_users_per_item: PositiveInt = 10
    target: tuple[str, ...] = ("purchase",)
