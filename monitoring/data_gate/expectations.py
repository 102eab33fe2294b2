"""Validation rules of a log as data, from contracts.EVENTS and `validate` in params.yaml.

Rows that break a row rule go to quarantine. A table rule concerns the log as a whole; when it fails, the gate closes.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from tierrec_core.base.contracts import EVENT_NAMES, EVENTS
from tierrec_core.settings import ValidateSettings

LARGEST = sys.float_info.max
"""All finite numbers lie between -LARGEST and LARGEST; infinity and NaN do not."""


class RuleScope(StrEnum):
    """Whether a rule concerns single rows or the whole table."""

    ROW = "row"
    TABLE = "table"


@dataclass(frozen=True)
class DataRule:
    """One rule, evaluated as an expectation.

    name: in the report and in the quarantine's `reason`
    expectation, kwargs: class of Great Expectations and its arguments
    wanted: the rule in words; without the current time, so that a report is reproducible
    remedy: what to do when it fails
    """

    name: str
    scope: RuleScope
    expectation: str
    wanted: str
    remedy: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def row_rules(settings: ValidateSettings, now: datetime) -> list[DataRule]:
    """Rules for each row of EVENTS; timestamps may lie at most a day after `now`."""
    required = [_filled(name) for name in EVENTS.required]
    lengths = [_length(name, settings.max_id_length) for name in ("user_id", "item_id")]
    return [*required, *lengths, _known_event(), _in_range(settings, now), *_numbers()]


def table_rules(settings: ValidateSettings, now: datetime) -> list[DataRule]:
    """Rules for the LogMeasures of the whole log."""
    median_share = f"{settings.min_day_share_of_median:g}"
    shares = [
        _at_most(measure, getattr(settings, f"max_{measure}"), meaning, remedy)
        for measure, meaning, remedy in (
            ("bad_share", "share of rows in quarantine", "fix these rows at their source"),
            (
                "duplicate_share",
                "share of rows that repeat an earlier one in every column",
                "export the log once, without overlaps",
            ),
            (
                "quiet_days_share",
                f"share of days with under {median_share} of their weekday's median volume",
                "add the events of the missing days",
            ),
        )
    ]
    return [*shares, *_freshness(settings, now)]


def item_rules(settings: ValidateSettings) -> list[DataRule]:
    """Rules for ITEMS as a whole."""
    return [
        DataRule(
            "item_id_in_items_not_null",
            RuleScope.TABLE,
            "ExpectColumnValuesToNotBeNull",
            "every row of ITEMS has an item_id",
            "fill or drop these rows of the catalogue",
            {"column": "item_id"},
        ),
        DataRule(
            "item_id_in_items_unique",
            RuleScope.TABLE,
            "ExpectColumnValuesToBeUnique",
            "one row of ITEMS for each item_id",
            "keep one row per item in the catalogue",
            {"column": "item_id"},
        ),
        DataRule(
            "num_categories",
            RuleScope.TABLE,
            "ExpectColumnUniqueValueCountToBeBetween",
            f"at most {settings.max_categories:,} categories in ITEMS",
            "map item_columns.category to a coarser column or raise validate.max_categories",
            {"column": "category", "max_value": settings.max_categories},
        ),
    ]


def as_utc(time: datetime) -> datetime:
    """Add the time zone UTC to a time without one."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _filled(column: str) -> DataRule:
    return DataRule(
        f"{column}_not_null",
        RuleScope.ROW,
        "ExpectColumnValuesToNotBeNull",
        f"{column} is filled: {EVENTS.columns[column].meaning}",
        f"fill {column} at the source",
        {"column": column},
    )


def _length(column: str, max_length: int) -> DataRule:
    return DataRule(
        f"{column}_length",
        RuleScope.ROW,
        "ExpectColumnValueLengthsToBeBetween",
        f"{column} has 1 to {max_length} characters",
        "shorten the ids or raise validate.max_id_length",
        {"column": column, "min_value": 1, "max_value": max_length},
    )


def _known_event() -> DataRule:
    return DataRule(
        "event_known",
        RuleScope.ROW,
        "ExpectColumnValuesToBeInSet",
        f"event is one of {', '.join(EVENT_NAMES)}",
        "map the name in source.events",
        {"column": "event", "value_set": list(EVENT_NAMES)},
    )


def _in_range(settings: ValidateSettings, now: datetime) -> DataRule:
    latest = as_utc(settings.latest) if settings.latest else as_utc(now) + timedelta(days=1)
    limit = f"{latest:%Y-%m-%d %H:%M} (validate.latest)" if settings.latest else "now"
    return DataRule(
        "timestamp_in_range",
        RuleScope.ROW,
        "ExpectColumnValuesToBeBetween",
        f"timestamp is not before {settings.earliest:%Y-%m-%d} (validate.earliest) and not after {limit}",
        "check source.timestamp_unit and source.timezone",
        {"column": "timestamp", "min_value": as_utc(settings.earliest), "max_value": latest},
    )


def _numbers() -> Iterator[DataRule]:
    yield DataRule(
        "value_not_negative",
        RuleScope.ROW,
        "ExpectColumnValuesToBeBetween",
        "value is a finite number, 0 or more",
        "give returns a negative quantity, not a negative value",
        {"column": "value", "min_value": 0.0, "max_value": LARGEST},
    )
    yield DataRule(
        "quantity_finite",
        RuleScope.ROW,
        "ExpectColumnValuesToBeBetween",
        "quantity is a finite number; negative for a return",
        "leave an unknown quantity empty",
        {"column": "quantity", "min_value": -LARGEST, "max_value": LARGEST},
    )


def _at_most(measure: str, limit: float, meaning: str, remedy: str) -> DataRule:
    return DataRule(
        measure,
        RuleScope.TABLE,
        "ExpectColumnMaxToBeBetween",
        f"at most {limit:g}: {meaning}",
        f"{remedy} or raise validate.max_{measure}",
        {"column": measure, "max_value": limit},
    )


def _freshness(settings: ValidateSettings, now: datetime) -> Iterator[DataRule]:
    if settings.max_age_days is None:
        return
    latest = as_utc(settings.latest or now)
    yield DataRule(
        "newest_event",
        RuleScope.TABLE,
        "ExpectColumnMaxToBeBetween",
        f"not older than {settings.max_age_days} days",
        "add newer events or raise validate.max_age_days",
        {"column": "newest_event", "min_value": latest - timedelta(days=settings.max_age_days)},
    )
