"""What is drawn for the charts: whole users within a budget, each user's habits once, and the same users each time."""

import numpy as np
import pandas as pd
import pytest

from monitoring.report.served_lists import CUTOFF, ServedLists, label_served_items
from monitoring.report.window_sample import BREADTH, FREQUENCY, MONEY, PER_USER, RECENCY, sample_users, sample_window
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.data.interactions import to_days

START, END = 19_730.0, 19_758.0  # January 2024
TIER_OF = {f"u{user:02d}": ("light", "medium", "heavy")[user // 20] for user in range(60)}


@pytest.fixture(scope="module")
def window(events, items) -> pd.DataFrame:
    return sample_window(events, items, TIER_OF, START, END, 10**6, 0)


def inside(events: pd.DataFrame) -> pd.DataFrame:
    day = to_days(events["timestamp"])
    return events[(day >= START) & (day < END)]


@pytest.mark.parametrize("rows", [60, 150, 290])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_sample_is_of_whole_users_and_within_its_budget(events, rows, seed):
    all_rows = inside(events)
    some = sample_users(all_rows, rows, seed)
    whole = all_rows["user_id"].value_counts()
    assert some["user_id"].value_counts().to_dict() == whole[some["user_id"].unique()].to_dict()
    assert rows - whole.max() < len(some) <= rows


def test_windows_share_the_users_that_are_drawn(events):
    day = to_days(events["timestamp"])
    users = [
        set(sample_users(events[(day >= start) & (day < start + 28)], 150, 3)["user_id"])
        for start in (START, START + 28)
    ]
    others = set(sample_users(inside(events), 150, 4)["user_id"])
    assert len(users[0] & users[1]) >= 0.7 * min(map(len, users))
    assert others != users[0]


def test_who_alone_exceeds_the_budget_does_not_keep_others_out(events):
    all_rows = inside(events)
    robot = all_rows.iloc[np.zeros(1000, int)].assign(user_id="robot")
    some = sample_users(pd.concat([all_rows, robot]), 300, 0)
    assert "robot" not in set(some["user_id"])
    assert len(some) > 200


def test_habits_are_what_a_loop_over_users_counts(events, window):
    kept = window[window[RECENCY].notna()].set_index("user_id")
    all_rows = inside(events)
    assert sorted(kept.index) == sorted(all_rows["user_id"].unique())
    for user, own in all_rows.groupby("user_id"):
        moments = to_days(own["timestamp"])
        assert kept.loc[user, RECENCY] == pytest.approx(END - max(moments))
        assert kept.loc[user, FREQUENCY] == len({int(moment) for moment in moments})
        assert kept.loc[user, MONEY] == pytest.approx(sum(own["value"].tolist()))
        assert kept.loc[user, BREADTH] == len(set(own["item_id"]))
        assert kept.loc[user, "tier"] == TIER_OF[user]


def test_each_row_has_what_its_item_is(events, items, window):
    expected = inside(events).merge(items, on="item_id", how="left")
    assert window["category"].value_counts().to_dict() == expected["category"].value_counts().to_dict()
    assert window["price"].sum() == pytest.approx(float(expected["price"].sum()))


def log(rows: list[tuple[str, str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "value"])
    return EVENTS.conform(frame.assign(timestamp=pd.Timestamp("2024-01-10", tz="UTC")), "test")


def test_what_was_only_shown_is_no_interest_and_a_rating_is_no_money():
    catalogue = ITEMS.conform(pd.DataFrame({"item_id": ["a"], "category": ["x"], "price": [2.0]}), "test")
    rows = [
        ("u", "a", "impression", np.nan),
        ("u", "a", "rating", 5.0),
        ("u", "b", "purchase", 3.0),
        ("v", "c9", "redeem", np.nan),
    ]
    found = sample_window(log(rows), catalogue, {}, START, END, 100, 0)
    assert found["category"].fillna("-").tolist() == ["-", "x", "unknown", "-"]
    assert found["event"].tolist() == ["impression", "rating", "purchase", "redeem"]
    assert found["price"].notna().tolist() == [False, True, False, False]
    assert found.loc[1, [MONEY, BREADTH]].tolist() == [3.0, 2.0]
    assert found[list(PER_USER)].notna().all(axis=1).tolist() == [False, True, False, False]
    assert set(found["tier"]) == {"no tier"}


def test_no_name_can_close_a_script():
    catalogue = ITEMS.conform(pd.DataFrame({"item_id": ["a"], "category": ["</script><b>"]}), "test")
    found = sample_window(log([("u", "a", "view", np.nan)]), catalogue, {}, START, END, 100, 0)
    assert "<" not in found.loc[0, "category"]
    assert found.loc[0, "category"].endswith("script>‹b>")


def test_an_empty_window_is_an_empty_frame(events, items):
    found = sample_window(events, items, TIER_OF, END + 1000, END + 1028, 100, 0)
    assert len(found) == 0
    assert set(PER_USER) < set(found)


def test_a_judged_list_has_its_hits_and_its_misses():
    lists = pd.DataFrame(
        [("u", "a", 1), ("u", "b", 2), ("v", "a", 1), ("idle", "a", 1)], columns=["user_id", "item_id", "rank"]
    )
    truth = pd.DataFrame([("u", "b"), ("u", "b"), ("u", "z"), ("unseen", "a"), ("v", "q")])
    truth.columns = ["user_id", "item_id"]
    found = label_served_items(ServedLists(lists, truth), 100, 0)
    assert found.to_dict("split")["data"] == [
        ["u", "a", 1, 0],
        ["u", "b", 2, 1],
        ["u", "z", CUTOFF + 1, 1],
        ["v", "a", 1, 0],
        ["v", "q", CUTOFF + 1, 1],
    ]
