"""Validation rules of a log as data, from contracts.EVENTS and `validate` in params.yaml.

Rows that break a row rule go to quarantine. A table rule applies to the complete log; when it fails, the gate closes.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from tierrec_core.base.contracts import CUT_LINE, EVENT_NAMES, EVENTS, REPEATED_HEADER, Event
from tierrec_core.settings import ValidateSettings

LARGEST = sys.float_info.max
"""All finite numbers lie between -LARGEST and LARGEST; infinity and NaN do not."""


@dataclass(frozen=True)
class DataRule:
    """A validation rule, evaluated as an expectation.

    scope: whether it applies to single rows or to the table
    name: shown in the report and in the quarantine's `reason`
    expectation, kwargs: class of Great Expectations and its arguments
    wanted: the rule in words; without the current time, so that a report is reproducible
    remedy: what to do when it fails
    """

    scope: Literal["row", "table"]
    name: str
    expectation: str
    wanted: str
    remedy: str
    kwargs: Mapping[str, Any]


_row, _table = partial(DataRule, "row"), partial(DataRule, "table")


def row_rules(settings: ValidateSettings, now: datetime) -> list[DataRule]:
    """Rules for each row of EVENTS; timestamps may lie at most a day after `now`."""
    filled = [
        _row(
            f"{column}_not_null",
            "ExpectColumnValuesToNotBeNull",
            f"{column} is filled: {EVENTS.columns[column].meaning}",
            f"fill {column} at the source",
            {"column": column},
        )
        for column in EVENTS.required
    ]
    lengths = [
        _row(
            f"{column}_length",
            "ExpectColumnValueLengthsToBeBetween",
            f"{column} has 1 to {settings.max_id_length} characters",
            "shorten the ids or raise validate.max_id_length",
            {"column": column, "min_value": 1, "max_value": settings.max_id_length},
        )
        for column in ("user_id", "item_id")
    ]
    latest = as_utc(settings.latest) if settings.latest else as_utc(now) + timedelta(days=1)
    limit = f"{latest:%Y-%m-%d %H:%M} (validate.latest)" if settings.latest else "now"
    return [
        *filled,
        *lengths,
        _row(
            "event_known",
            "ExpectColumnValuesToBeInSet",
            f"event is one of {', '.join(EVENT_NAMES)}",
            "map the name in source.events",
            {"column": "event", "value_set": [*EVENT_NAMES, REPEATED_HEADER, CUT_LINE]},
        ),
        _row(
            "no_repeated_header",
            "ExpectColumnValuesToNotBeInSet",
            "the row is not the names of the columns again",
            "remove the line, or keep the files apart that were written one after the other",
            {"column": "event", "value_set": [REPEATED_HEADER]},
        ),
        _row(
            "line_complete",
            "ExpectColumnValuesToNotBeInSet",
            "the last line of the file is whole",
            "add or ingest the file again once it is written to its end",
            {"column": "event", "value_set": [CUT_LINE]},
        ),
        _row(
            "timestamp_in_range",
            "ExpectColumnValuesToBeBetween",
            f"timestamp is not before {settings.earliest:%Y-%m-%d} (validate.earliest) and not after {limit}",
            "check source.timestamp_unit and source.timezone",
            {"column": "timestamp", "min_value": as_utc(settings.earliest), "max_value": latest},
        ),
        _row(
            "value_finite",
            "ExpectColumnValuesToBeBetween",
            "value is a finite number",
            "correct the cells that are no numbers, or leave an unknown value empty",
            {"column": "value", "min_value": -LARGEST, "max_value": LARGEST},
        ),
        _row(
            "value_not_negative",
            "ExpectColumnValuesToBeNull",
            "value is 0 or more, but for purchases, where less is a return",
            "correct these values, or map their event to purchase in source.events",
            {
                "column": "value",
                "row_condition": f"value < 0 and event != '{Event.PURCHASE}'",
                "condition_parser": "pandas",
            },
        ),
        _row(
            "quantity_finite",
            "ExpectColumnValuesToBeBetween",
            "quantity is a finite number; negative for a return",
            "leave an unknown quantity empty",
            {"column": "quantity", "min_value": -LARGEST, "max_value": LARGEST},
        ),
    ]


def table_rules(settings: ValidateSettings, now: datetime) -> list[DataRule]:
    """Rules for the LogMeasures of the log."""
    quiet = f"share of days with under {settings.min_day_share_of_median:g} of their weekday's median volume"
    rules = []
    for measure, limit, meaning, remedy in (
        ("bad_share", settings.max_bad_share, "share of rows in quarantine", "fix these rows at their source"),
        (
            "duplicate_share",
            settings.max_duplicate_share,
            "share of rows that repeat an earlier one in every column",
            "export the log once, without overlaps",
        ),
        ("quiet_days_share", settings.max_quiet_days_share, quiet, "add the events of the missing days"),
    ):
        wanted, remedy_or_limit = f"at most {limit:g}: {meaning}", f"{remedy} or raise validate.max_{measure}"
        bounds = {"column": measure, "max_value": limit}
        rules.append(_table(measure, "ExpectColumnMaxToBeBetween", wanted, remedy_or_limit, bounds))
    if settings.max_age_days is not None:
        oldest = as_utc(settings.latest or now) - timedelta(days=settings.max_age_days)
        rules.append(
            _table(
                "newest_event",
                "ExpectColumnMaxToBeBetween",
                f"not older than {settings.max_age_days} days",
                "add newer events or raise validate.max_age_days",
                {"column": "newest_event", "min_value": oldest},
            )
        )
    return rules


def item_rules(settings: ValidateSettings) -> list[DataRule]:
    """Rules for the ITEMS table."""
    return [
        _table(
            "item_id_in_items_not_null",
            "ExpectColumnValuesToNotBeNull",
            "every row of ITEMS has an item_id",
            "fill or drop these rows of the catalogue",
            {"column": "item_id"},
        ),
        _table(
            "item_id_in_items_unique",
            "ExpectColumnValuesToBeUnique",
            "one row of ITEMS for each item_id",
            "keep one row per item in the catalogue",
            {"column": "item_id"},
        ),
        _table(
            "num_categories",
            "ExpectColumnUniqueValueCountToBeBetween",
            f"at most {settings.max_categories:,} categories in ITEMS",
            "map item_columns.category to a coarser column or raise validate.max_categories",
            {"column": "category", "max_value": settings.max_categories},
        ),
    ]


def as_utc(time: datetime) -> datetime:
    """Add the time zone UTC to a time without one."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
