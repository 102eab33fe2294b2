"""Prepare against a plain reading of its rules, row by row in Python."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tierrec_core.base.artifacts import write_frame
from tierrec_core.base.contracts import EVENTS, GUEST
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import PrepareSettings, Settings, TaskSettings
from tierrec_core.sources import cleaning
from tierrec_core.sources.cleaning import prepare

COLUMNS = list(EVENTS.columns)
ORDER = ["timestamp", *(name for name in COLUMNS if name != "timestamp")]
START = pd.Timestamp("2024-01-01", tz="UTC")


def log(rows):
    """Rows of (user, item, event, minutes since the start, quantity, session)."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "minutes", "quantity", "session_id"])
    return EVENTS.conform(frame.assign(timestamp=START + pd.to_timedelta(frame["minutes"], unit="min")), "tests")


def rows_of(frame):
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


def take_back(kept, row):
    """Take the returned pieces from the newest purchases of the same user and item."""
    left = -row["quantity"]
    for old in [old for old in reversed(kept) if all(old[c] == row[c] for c in COLUMNS[:3])]:
        pieces = old["quantity"] or 1
        taken = min(left, pieces)
        left -= taken
        if taken == pieces:
            kept.remove(old)
        elif taken:
            old["quantity"] = pieces - taken


def by_hand(events, settings):
    """Distinct rows in order; then bots, returns, inactive users and sessions, one row at a time."""
    distinct = {tuple(row.values()): row for row in rows_of(events)}.values()
    rows = sorted(distinct, key=lambda row: [(row[name] is None, row[name] or 0) for name in ORDER])
    days = pd.Series([(row["user_id"], row["timestamp"].date()) for row in rows], dtype=object).value_counts()
    bots = {user for (user, _), count in days.items() if count > settings.max_events_per_day}
    kept = []
    for row in (row for row in rows if row["user_id"] not in bots):
        if row["event"] == "purchase" and (row["quantity"] or 0) < 0:
            take_back(kept, row)
        else:
            kept.append(row)
    users = [row["user_id"] for row in kept]
    kept = [row for row in kept if users.count(row["user_id"]) >= settings.min_events_per_user]
    last, visit = {}, {}
    for row in (row for row in kept if row["session_id"] is None):
        user, now = row["user_id"], row["timestamp"]
        pause = (now - last.get(user, now)).total_seconds()
        visit[user] = visit.get(user, 0) + (pause > settings.session_gap_minutes * 60)
        last[user], row["session_id"] = now, f"{user}-visit-{visit[user]}"
    return kept


ROW = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from("xy"),
    st.sampled_from(["purchase", "purchase", "view"]),
    st.integers(0, 300).map(lambda n: n * 11),
    st.sampled_from([1.0, 2.0, 4.0, -1.0, -3.0, None]),
    st.sampled_from(["s", None]),
)


@hypothesis_settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=40), st.integers(3, 20), st.integers(1, 4))
def test_agrees_with_the_plain_reading(rows, most, least):
    events, settings = log(rows), PrepareSettings(max_events_per_day=most, min_events_per_user=least)
    wanted = by_hand(events, settings)
    if not wanted:
        with pytest.raises(EmptyDataError, match=r"min_events_per_user"):
            prepare(events, settings)
        return
    clean, report = prepare(events, settings)
    assert sorted(map(str, rows_of(clean))) == sorted(map(str, wanted))
    assert report.events == len(wanted)
    assert clean["timestamp"].is_monotonic_increasing


def test_a_partial_return_lowers_the_purchase():
    events = log([("u", "a", "purchase", minute, quantity, None) for minute, quantity in ((0, 10), (9, -2), (12, -1))])
    events = pd.concat([events, log([("u", "b", "purchase", 0, 3, None), ("u", "b", "purchase", 5, -3, None)])])
    clean, report = prepare(events.assign(value=events["quantity"] * 10), PrepareSettings())
    assert clean[["item_id", "quantity", "value"]].to_numpy().tolist() == [["a", 7.0, 70.0]]
    assert report.returned_events == 4


def test_guests_keep_equal_events_and_lose_their_returns(tmp_path):
    users = [("u", "i", "purchase", minute, 1.0, None) for minute in (0, 0, 30)]
    guests = [(GUEST, "i", "purchase", minute, 1.0, None) for minute in (0, 0, 0, 10)]
    returned = [(GUEST, "i", "purchase", 20, -2.0, None)]
    layout, options = Layout(tmp_path), Settings(tasks={"next": TaskSettings()}, models={})
    write_frame(log([*users, *guests, *returned]), layout.valid_events)
    cleaning.run(layout, options)
    assert pd.read_parquet(layout.prepared_events)["user_id"].tolist() == ["u", "u"]
    assert pd.read_parquet(layout.prepared_guests)["timestamp"].tolist() == [START] * 2
    write_frame(log(guests), layout.valid_events)
    with pytest.raises(EmptyDataError, match=r"all 4 events are of guests.*source\.guests"):
        cleaning.run(layout, options)


def test_a_pause_longer_than_the_gap_parts_two_visits():
    clean, _ = prepare(log([("u", "i", "view", minute, 1.0, None) for minute in (0, 30, 61)]), PrepareSettings())
    assert clean["session_id"].tolist() == ["u-visit-0", "u-visit-0", "u-visit-1"]


def test_a_bot_of_ten_thousand_events_goes():
    bot = [("bot", f"i{n}", "view", n / 100, 1.0, None) for n in range(10_000)]
    clean, report = prepare(log([*bot, ("u", "i", "view", 1, 1.0, None)]), PrepareSettings())
    assert clean["user_id"].tolist() == ["u"]
    assert (report.bot_users, report.bot_events) == (1, 10_000)


def test_the_order_of_the_rows_does_not_matter():
    events = log([("u", f"i{n}", "view", n, 1.0, None) for n in range(20)])
    shuffled = events.iloc[np.random.default_rng(0).permutation(20)]
    pd.testing.assert_frame_equal(prepare(events, PrepareSettings())[0], prepare(shuffled, PrepareSettings())[0])
