"""How a log is judged, cleaned and cut."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from tierrec_core.base.params import Params, Share


class ValidateSettings(Params):
    """When the gate refuses. Shares are of rows."""

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
    """How a clean log is made from a valid one."""

    engine: Literal["duckdb", "spark"] = "duckdb"
    session_gap_minutes: PositiveFloat = 30.0
    max_events_per_day: PositiveInt = 1000
    min_events_per_user: PositiveInt = 1


def _no_number(value: Any) -> Any:
    """Refuse what pydantic would take for seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("a date looks like 2024-01-31")
    return value


class TimeSplit(Params):
    """Everything before the cut is known; cut is a date, or the share of events that lie before it."""

    kind: Literal["time"] = "time"
    cut: Annotated[datetime, BeforeValidator(_no_number)] | Annotated[float, Field(gt=0, lt=1)] = 0.8


class GivenSplit(Params):
    """The log says itself what is test: events whose `split` column reads `test`."""

    kind: Literal["given"] = "given"


class LeaveLastOut(Params):
    """Each user's last event is the test."""

    kind: Literal["leave_last_out"] = "leave_last_out"


class SplitSettings(Params):
    """What is known, what is judged, and which items take part (decided on the known part alone)."""

    by: Annotated[TimeSplit | GivenSplit | LeaveLastOut, Field(discriminator="kind")] = TimeSplit()
    min_users_per_item: PositiveInt = 10
    target: tuple[str, ...] = ("purchase",)
