"""Statistics of raw rows equal counts by hand."""

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.measurement.known_items import UNKNOWN, UNSEEN, KnownItems
from monitoring.drift.measurement.raw_stats import RawStats
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import from_days

START = 19800.0
GROUPS, NO_ROWS, VECTORS = ("FRUIT", "MEAT"), np.empty(0, np.int32), np.zeros((2, 1), np.float32)
LABELS = (*GROUPS, "other")
KNOWN = KnownItems(pd.Index(["a", "b"]), GROUPS, np.array([0, 1]), LABELS, "category", NO_ROWS, VECTORS)
ITEMS = pd.DataFrame({"item_id": ["a", "b", "c", "d"], "category": ["FRUIT", "MEAT", "TOYS", None]})


def log(*rows: tuple[float, str, str, str]) -> pd.DataFrame:
    """Rows of day since START, user, item, event."""
    day, user, item, event = zip(*rows, strict=True)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "event": event})
    stamps = [from_days(START) + pd.Timedelta(days=one) for one in day]
    return EVENTS.conform(frame.assign(timestamp=stamps), "test")


def stats(events: pd.DataFrame, rate_limit: float | None = None, users: tuple[str, ...] = ("u", "v")) -> RawStats:
    return RawStats.of(events, ITEMS, KNOWN, pd.Index(users), START, START + 3, rate_limit)


SMALL = log(
    (0.2, "u", "a", "view"),
    (0.2, "u", "a", "view"),
    (0.5, "v", "d", "purchase"),
    (2.0, "w", "c", "view"),
    (2.9, "u", "nowhere", "view"),
    (2.9, "u", "campaign-1", "redeem"),
)


def test_rows_are_counted_by_day() -> None:
    found = stats(SMALL)
    assert found.daily.tolist() == [3, 0, 3]
    assert found.daily_duplicates.tolist() == [1, 0, 0]
    assert found.num_events == 6
    assert found.num_users == 3


def test_items_without_a_category_count_and_new_categories_and_redemptions_do_not() -> None:
    assert KNOWN.item_labels(["a", "b", "c", "d", "nowhere"], ITEMS).tolist() == [0, 1, UNSEEN, UNKNOWN, UNKNOWN]
    assert stats(SMALL).daily_unlabelled.tolist() == [1, 0, 1]


def test_events_users_and_shares_are_plain_counts() -> None:
    found = stats(SMALL)
    assert found.event_counts == {"purchase": 1, "redeem": 1, "view": 4}
    assert (found.top_user, found.top_share) == ("u", pytest.approx(4 / 6))
    assert (found.new_users, found.new_share) == (1, pytest.approx(1 / 6))
    assert found.share(found.daily_duplicates) == pytest.approx(1 / 6)
    assert found.share_deviation(found.daily_duplicates) == pytest.approx(np.std([1 / 3, 0.0]))


def test_a_bot_exceeds_the_rate_limit_of_the_reference_window_and_users_do_not() -> None:
    humans = log(*((day + 0.01 * act, "u", "a", "view") for day in range(3) for act in range(20)))
    bot = log(*((1 + act / 200, "v", "b", "view") for act in range(100)))
    usual = stats(humans)
    assert usual.rate_limit == pytest.approx(40.0)
    assert (usual.fast_users, usual.fast_share) == (0, 0.0)
    both = stats(pd.concat([humans, bot]), usual.rate_limit)
    assert (both.fast_users, both.fast_share) == (1, pytest.approx(100 / 160))


def test_bots_on_one_item_are_more_concentrated_than_users_on_many() -> None:
    crowd = [(0.5, f"bot-{number}", "a", "view") for number in range(30)]
    humans = [(1.5, "u", f"item-{number}", "view") for number in range(40)]
    found = stats(log(*crowd, *humans))
    assert (found.new_concentration, found.known_concentration) == (1.0, pytest.approx(10 / 40))


def test_the_order_of_rows_changes_no_statistic() -> None:
    one, other = stats(SMALL), stats(SMALL.iloc[::-1])
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name))


def test_an_empty_window_has_empty_statistics() -> None:
    found = stats(SMALL.iloc[:0])
    assert (found.num_events, found.num_users, found.top_user, found.top_share) == (0, 0, "", 0.0)
    assert found.daily.tolist() == [0, 0, 0]
    assert found.share_deviation(found.daily) == 0.0
