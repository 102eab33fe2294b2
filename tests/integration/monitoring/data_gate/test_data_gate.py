"""The data gate on a log of 1,000 rows: each rule fails on a log broken in that one way, and on no other."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.data_gate.expectations import item_rules, row_rules, table_rules
from monitoring.data_gate.inspection import Inspection, RuleOutcome
from monitoring.data_gate.validate import ValidationVerdict, run
from tierrec_core.base.artifacts import read_frame, write_frame
from tierrec_core.base.contracts import CUT_LINE, EVENT_NAMES, EVENTS, GUEST, ITEMS, REPEATED_HEADER
from tierrec_core.base.errors import EmptyDataError, GateCrash, GateError, MissingColumnError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, ValidateSettings

ROWS, DAYS, NUM_ITEMS = 1000, 56, 50
NOW = datetime(2024, 3, 1, tzinfo=UTC)
BROKEN = [3, 500, 999]
FRESH = ValidateSettings(max_age_days=30)


def good_log() -> pd.DataFrame:
    """1,000 different purchases, views and ratings, evenly over eight weeks to 2024-02-26."""
    index = np.arange(ROWS)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row % 37}" for row in index],
            "item_id": [f"i{row % NUM_ITEMS}" for row in index],
            "event": np.array(EVENT_NAMES)[index % len(EVENT_NAMES)],
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(index * DAYS / ROWS, unit="D"),
            "value": index / 10,
            "quantity": np.where(index % 50 == 0, -1.0, 2.0),
        }
    )
    return EVENTS.conform(frame, "tests")


def good_items() -> pd.DataFrame:
    names = [f"i{index}" for index in range(NUM_ITEMS)]
    return ITEMS.conform(pd.DataFrame({"item_id": names, "category": [name[-1] for name in names]}), "tests")


def setting(column: str, *values: object) -> Callable[[pd.DataFrame], None]:
    """Break the three rows by writing these values, the last one again where there are fewer than rows."""

    def write(events: pd.DataFrame) -> None:
        for row, value in zip(BROKEN, [*values, *values[-1:] * 2], strict=False):
            events.loc[row, column] = value

    return write


def nan_values(events: pd.DataFrame) -> None:
    """A NaN that is not an empty cell, as a computed column holds it."""
    zero = pd.array([0.0] * len(BROKEN), dtype="Float64")
    events.loc[BROKEN, "value"] = zero / zero


def judge(
    events: pd.DataFrame, items: pd.DataFrame, settings: ValidateSettings, now: datetime = NOW
) -> ValidationVerdict:
    return ValidationVerdict.of(Inspection.begin(), events, items, settings, now)


def failing(outcomes: tuple[RuleOutcome, ...]) -> list[str]:
    return [outcome.rule.name for outcome in outcomes if outcome.status != "PASS"]


ROW_CASES = {
    "no user": ("user_id_not_null", setting("user_id", pd.NA)),
    "no item": ("item_id_not_null", setting("item_id", pd.NA)),
    "no event": ("event_not_null", setting("event", pd.NA)),
    "no time": ("timestamp_not_null", setting("timestamp", pd.NaT)),
    "empty user": ("user_id_length", setting("user_id", "")),
    "long user": ("user_id_length", setting("user_id", "x" * 300)),
    "empty item": ("item_id_length", setting("item_id", "")),
    "long item": ("item_id_length", setting("item_id", "ü" * 257)),
    "unknown event": ("event_known", setting("event", "teleport", "Purchase", "")),
    "names of columns": ("no_repeated_header", setting("event", REPEATED_HEADER)),
    "cut line": ("line_complete", setting("event", CUT_LINE)),
    "future": ("timestamp_in_range", setting("timestamp", pd.Timestamp("2024-03-02 00:00:01", tz="UTC"))),
    "past": ("timestamp_in_range", setting("timestamp", pd.Timestamp("1970-01-01", tz="UTC"))),
    "negative value": ("value_not_negative", setting("value", -0.01)),
    "infinite value": ("value_finite", setting("value", np.inf)),
    "NaN value": ("value_finite", nan_values),
    "infinite quantity": ("quantity_finite", setting("quantity", np.inf, -np.inf)),
}


@pytest.mark.parametrize(("rule", "spoil"), ROW_CASES.values(), ids=ROW_CASES)
def test_a_broken_row_goes_to_quarantine_under_its_rule(rule, spoil):
    events = good_log()
    spoil(events)
    verdict = judge(events, good_items(), FRESH)
    assert failing(verdict.outcomes) == [rule]
    assert verdict.passed
    assert np.flatnonzero(verdict.bad).tolist() == BROKEN
    assert set(verdict.quarantine(events)["reason"]) == {rule}
    assert verdict.report()["rows"] == {"raw": ROWS, "valid": ROWS - 3, "quarantined": 3}


def test_every_row_rule_has_a_case():
    assert {rule.name for rule in row_rules(FRESH, NOW)} == {rule for rule, _ in ROW_CASES.values()}


def test_the_good_log_breaks_no_rule():
    verdict = judge(good_log(), good_items(), FRESH)
    assert failing(verdict.outcomes) == []
    assert verdict.passed
    assert len(verdict.quarantine(good_log())) == 0


@pytest.mark.parametrize("user", ["17", "1.0", "Ünï 🛒", "x" * 256, "../x", "=cmd"])
def test_odd_ids_are_ids(user):
    events = good_log()
    events.loc[0, "user_id"] = user
    assert judge(events, good_items(), FRESH).report()["rows"]["quarantined"] == 0


def test_returns_and_unknown_figures_are_fine():
    events = good_log()
    events.loc[:20, ["value", "quantity"]] = pd.NA
    events.loc[21:40, "quantity"] = -3.0
    events.loc[(events.index < 100) & (events["event"] == "purchase"), "value"] = -2.0
    assert failing(judge(events, good_items(), FRESH).outcomes) == []


def test_guests_may_do_the_same_and_are_no_user():
    events = good_log()
    guests = pd.concat([events.iloc[:1].assign(user_id=GUEST)] * 400)
    verdict = judge(pd.concat([events, guests], ignore_index=True), good_items(), FRESH)
    assert verdict.passed
    assert verdict.measures.num_users == events["user_id"].nunique()


def test_a_row_that_breaks_two_rules_has_both_reasons():
    events = good_log()
    events.loc[7, ["event", "value"]] = ["teleport", -1.0]
    verdict = judge(events, good_items(), FRESH)
    assert verdict.quarantine(events)["reason"].tolist() == ["event_known; value_not_negative"]
    assert verdict.report()["quarantine"] == {"event_known; value_not_negative": 1}


def test_the_latest_moment_can_be_set():
    settings = ValidateSettings(latest=datetime(2024, 2, 1))
    verdict = judge(good_log(), good_items(), settings.model_copy(update={"max_bad_share": 1.0}))
    late = good_log()["timestamp"] > pd.Timestamp("2024-02-01", tz="UTC")
    np.testing.assert_array_equal(verdict.bad, late)


def too_many_bad(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    events.loc[::19, "value"] = np.inf
    return events, items


def repeated(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.concat([events, events[:80]], ignore_index=True), items


def gap(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seven of the 56 days are missing: one of each weekday."""
    missing = events["timestamp"].between(pd.Timestamp("2024-01-15", tz="UTC"), pd.Timestamp("2024-01-22", tz="UTC"))
    return events[~missing].reset_index(drop=True), items


def stale(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return events.assign(timestamp=events["timestamp"] - pd.Timedelta(days=40)), items


def many_categories(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = pd.Series([f"c{index % 21}" for index in range(len(items))], dtype="string[pyarrow]")
    return events, items.assign(category=names)


def nameless_item(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    items.loc[4, "item_id"] = pd.NA
    return events, items


def item_twice(events: pd.DataFrame, items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    items.loc[4, "item_id"] = "i5"
    return events, items


TABLE_CASES = {
    "bad_share": too_many_bad,
    "duplicate_share": repeated,
    "quiet_days_share": gap,
    "newest_event": stale,
    "num_categories": many_categories,
    "item_id_in_items_not_null": nameless_item,
    "item_id_in_items_unique": item_twice,
}
STRICT = ValidateSettings(max_age_days=30, max_categories=20)


@pytest.mark.parametrize(("rule", "spoil"), TABLE_CASES.items())
def test_a_broken_table_closes_the_gate_under_its_rule(rule, spoil, tmp_path):
    verdict = judge(*spoil(good_log(), good_items()), STRICT)
    table = tuple(outcome for outcome in verdict.outcomes if outcome.rule.scope == "table")
    assert failing(table) == [rule]
    assert not verdict.passed
    error = verdict.error(Layout(tmp_path))
    assert type(error) is GateError
    assert f"{rule} is" in str(error)
    assert len(str(error).splitlines()) <= 3


def test_every_table_rule_has_a_case():
    assert {rule.name for rule in [*table_rules(STRICT, NOW), *item_rules(STRICT)]} == set(TABLE_CASES)


def test_bad_rows_at_the_limit_pass_and_one_more_does_not():
    events = good_log()
    events.loc[:49, "value"] = np.inf
    assert judge(events, good_items(), ValidateSettings(max_bad_share=0.05)).passed
    events.loc[50, "value"] = np.inf
    assert not judge(events, good_items(), ValidateSettings(max_bad_share=0.05)).passed


def test_a_log_without_one_good_row_is_refused_and_does_not_crash(tmp_path):
    error = judge(good_log().assign(user_id=pd.NA), good_items(), FRESH).error(Layout(tmp_path))
    assert type(error) is GateError
    assert "bad_share is 1 (user_id_not_null 1,000 rows)" in str(error)


def test_an_expectation_that_crashes_is_an_error_and_not_a_fail(tmp_path):
    verdict = judge(good_log().drop(columns="value"), good_items(), FRESH)
    ended = {outcome.rule.name: outcome.status for outcome in verdict.outcomes}
    assert [ended.pop(name) for name in ("value_finite", "value_not_negative")] == ["ERROR", "ERROR"]
    assert set(ended.values()) == {"PASS"}
    assert not verdict.passed
    assert isinstance(verdict.error(Layout(tmp_path)), GateCrash)
    assert "value_finite, value_not_negative could not be checked" in str(verdict.error(Layout(tmp_path)))


def test_words_among_numbers_crash_and_are_not_counted_as_bad_rows():
    mixed = good_log().astype({"value": object})
    mixed.loc[5, "value"] = "a lot"
    rules = [rule for rule in row_rules(FRESH, NOW) if rule.name == "value_finite"]
    (outcome,) = Inspection.begin().evaluate("mixed", mixed, rules)
    assert outcome.status == "ERROR"
    assert len(outcome.rows) == 0
    assert "must either be None or of the same type" in outcome.error


@pytest.fixture
def layout(tmp_path) -> Layout:
    """A project whose raw log has five bad rows of five kinds."""
    layout = Layout(tmp_path)
    events = good_log()
    events.loc[4, "value"] = -1.0
    events.loc[5, "value"] = np.inf
    events.loc[7, "user_id"] = pd.NA
    events.loc[8, "event"] = "teleport"
    events.loc[9, "timestamp"] = pd.Timestamp("2199-01-01", tz="UTC")
    write_frame(events, layout.raw_events)
    write_frame(good_items(), layout.raw_items)
    return layout


def settings(**validate: object) -> Settings:
    return Settings.model_validate({"tasks": {"next": {}}, "models": {}, "validate": validate})


def test_valid_rows_and_quarantine_are_the_raw_rows(layout):
    run(layout, settings())
    raw, valid = read_frame(layout.raw_events, EVENTS), read_frame(layout.valid_events, EVENTS)
    quarantine = pd.read_parquet(layout.quarantine)
    assert quarantine["reason"].tolist() == [
        "value_not_negative",
        "value_finite",
        "user_id_not_null",
        "event_known",
        "timestamp_in_range",
    ]
    pd.testing.assert_frame_equal(valid, raw.drop(index=[4, 5, 7, 8, 9]).reset_index(drop=True))
    again = EVENTS.conform(quarantine.drop(columns="reason"), "tests")
    pd.testing.assert_frame_equal(again, raw.loc[[4, 5, 7, 8, 9]].reset_index(drop=True))


def test_the_same_log_gives_the_same_bytes(layout):
    paths = (layout.validation, layout.valid_events, layout.quarantine)
    run(layout, settings())
    before = [path.read_bytes() for path in paths]
    run(layout, settings())
    assert [path.read_bytes() for path in paths] == before


def test_data_docs_show_every_suite(layout):
    run(layout, settings())
    text = (layout.data_docs / "index.html").read_text()
    assert all(f"validations/{suite}/" in text for suite in ("events", "log", "items"))


def test_a_refusal_leaves_what_a_person_needs_and_nothing_to_go_on_with(layout):
    run(layout, settings())
    with pytest.raises(GateError, match=r"bad_share is 0\.005"):
        run(layout, settings(max_bad_share=0.004))
    assert not layout.valid_events.exists()
    assert len(pd.read_parquet(layout.quarantine)) == 5
    assert '"passed": false' in layout.validation.read_text()
    assert (layout.data_docs / "index.html").exists()


def test_an_empty_log_is_named(layout):
    write_frame(good_log()[:0], layout.raw_events)
    with pytest.raises(EmptyDataError, match=r"raw/events.parquet: has no rows"):
        run(layout, settings())


def test_a_missing_column_is_named(layout):
    write_frame(good_log().drop(columns="user_id"), layout.raw_events)
    with pytest.raises(MissingColumnError, match="column 'user_id' is missing"):
        run(layout, settings())


def test_the_command_says_no_in_three_lines_and_with_code_2(layout):
    layout.params.write_text("tasks: {next: {}}\nmodels: {}\nvalidate: {max_bad_share: 0.001, max_categories: 2}\n")
    command = [sys.executable, "-m", "monitoring", "validate"]
    root = Path(__file__).parents[4]
    done = subprocess.run(
        command, cwd=layout.root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: validate: bad_share is 0.005")
    assert lines[1].startswith("validate: num_categories is 10, wanted at most 2 categories")
    assert lines[2] == f"see {layout.validation} and {layout.quarantine}"
    assert len(lines) == 3
