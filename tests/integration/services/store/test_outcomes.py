"""Outcomes of an experiment against a plain loop over everything that happened."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.store import Impression, NewEvent, Store

pytest_plugins = ["tests.support.stores"]

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = st.integers(0, 9)
ITEMS = st.sampled_from("abc")
SHOWN = st.tuples(
    st.sampled_from(["ann", "ben", None]),
    st.sampled_from(["control", "novelty", None]),
    HOURS,
    st.lists(ITEMS, max_size=3),
    st.sampled_from(["this", "that"]),
)
DONE = st.tuples(st.sampled_from(["ann", "ben"]), HOURS, ITEMS, st.sampled_from(["purchase", "click"]))


def expected(shown: list, done: list, goal: str, horizon: int) -> pd.DataFrame:
    """By user, the variant of their earliest answer, its answers, and the goal events that follow one of these."""
    of_user = defaultdict(list)
    for user, variant, hour, items, experiment in shown:
        if experiment == "this" and user and variant:
            of_user[user].append((hour, variant, items))
    rows = []
    for user, answers in sorted(of_user.items()):
        first = min(answers, key=lambda answer: answer[0])[1]
        own = [(hour, items) for hour, variant, items in answers if variant == first]
        conversions = [
            item
            for who, hour, item, what in done
            if (who, what) == (user, goal) and any(at <= hour <= at + horizon and item in items for at, items in own)
        ]
        rows.append((user, first, len(own), len(conversions)))
    return pd.DataFrame(rows, columns=["user_id", "variant", "impressions", "conversions"])


def fill(store: Store, run: int, shown: list, done: list) -> None:
    """Keep the world under names of its own."""
    store.add_impressions(
        [
            Impression(
                request_id=f"{run}-{row}",
                user_id=user and f"{run}-{user}",
                surface="products",
                items=tuple(items),
                path="blend",
                model_version="m",
                at=START + timedelta(hours=hour),
                variant=variant,
                experiment=f"{run}-{experiment}",
            )
            for row, (user, variant, hour, items, experiment) in enumerate(shown)
        ]
    )
    store.add_events(
        [
            NewEvent(
                key=f"{run}-{row}",
                user_id=f"{run}-{user}",
                item_id=item,
                event=what,
                timestamp=START + timedelta(hours=hour),
            )
            for row, (user, hour, item, what) in enumerate(done)
        ]
    )


def test_outcomes_are_what_a_plain_loop_counts(store: Store) -> None:
    runs = iter(range(1_000_000))

    @given(
        st.lists(SHOWN, max_size=8),
        st.lists(DONE, max_size=8),
        st.sampled_from(["purchase", "click"]),
        st.integers(0, 4),
    )
    def holds(shown: list, done: list, goal: str, horizon: int) -> None:
        run = next(runs)
        fill(store, run, shown, done)
        found = store.outcomes(f"{run}-this", goal=goal, horizon_hours=horizon)
        found["user_id"] = found["user_id"].str.removeprefix(f"{run}-")
        wanted = expected(shown, done, goal, horizon)
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)

    holds()


@pytest.mark.parametrize(("hours", "conversions"), [(1.5, 0), (2.0, 1)])
def test_the_horizon_ends_with_its_last_microsecond(store: Store, hours: float, conversions: int) -> None:
    fill(store, 0, [("ann", "control", 1, ["a"], "this")], [("ann", 3, "a", "purchase")])
    assert store.outcomes("0-this", horizon_hours=hours)["conversions"].tolist() == [conversions]
    assert store.outcomes("0-that").to_dict("list") == {
        "user_id": [],
        "variant": [],
        "impressions": [],
        "conversions": [],
    }
