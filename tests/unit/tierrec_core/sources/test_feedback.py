"""What the feedback store has exported comes out of any source beside its log."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core import sources
from tierrec_core.base.contracts import EVENTS, ITEMS, USERS
from tierrec_core.base.errors import MissingColumnError, UnreadableFileError
from tierrec_core.settings import FilesSource, SyntheticSource
from tierrec_core.sources import feedback
from tierrec_core.sources.frames import SourceFrames

WORLD = {"num_users": 8, "num_items": 12, "days": 20}
NOON = pd.Timestamp("2024-03-01 12:00", tz="UTC")


def a_log() -> SourceFrames:
    """Two products with an attribute of each type, one user, one purchase."""
    items = pd.DataFrame(
        {
            "item_id": ["milk", "bread"],
            "title": ["Milk", "Bread"],
            "category": ["dairy", "bakery"],
            "price": [1.5, 2.5],
            "maker": pd.array(["69", "70"], dtype="string"),
            "fat": [3.5, 0.0],
            "organic": [True, False],
            "since": pd.to_datetime(["2020-01-01", "2021-01-01"], utc=True),
        }
    )
    users = pd.DataFrame({"user_id": ["ann"], "age": ["35-54"]})
    return SourceFrames.of(purchases("ann", ["milk"]), items, users, where="tests")


def purchases(user_id, item_ids):
    frame = pd.DataFrame({"user_id": user_id, "item_id": item_ids, "event": "purchase", "timestamp": NOON})
    return EVENTS.conform(frame, "tests")


def appended(folder, **frames):
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    return feedback.append_feedback(a_log(), folder)


def export(project, events):
    folder = project / "data" / "feedback"
    folder.mkdir(parents=True)
    events.to_parquet(folder / "events.parquet", index=False)


def test_events_come_beside_the_log_and_twins_stay(tmp_path):
    log = appended(tmp_path, events=purchases("ben", ["bread", "bread", "new"]))
    pairs = list(zip(log.events["user_id"], log.events["item_id"], strict=True))
    assert sorted(pairs) == [("ann", "milk"), ("ben", "bread"), ("ben", "bread"), ("ben", "new")]


def test_a_posted_attribute_wins_in_the_type_of_the_log(tmp_path):
    posted = pd.DataFrame(
        {
            "item_id": ["milk", "oats"],
            "price": ["1.75", "cheap"],
            "maker": [69.0, 71.0],
            "fat": [1.5, np.nan],
            "organic": pd.array([None, True], dtype="boolean"),
            "since": ["2024-02-01T00:00:00Z", "soon"],
            "colour": ["white", None],
        }
    )
    log = appended(tmp_path, items=posted)
    items = log.items.set_index("item_id")
    assert log.items.columns[:5].tolist() == list(ITEMS.columns)
    milk = {"title": "Milk", "category": "dairy", "price": 1.75, "maker": "69", "fat": 1.5, "organic": True}
    milk |= {"since": pd.Timestamp("2024-02-01", tz="UTC"), "colour": "white"}
    assert items.loc["milk"].drop("brand").to_dict() == milk
    bread = a_log().items.set_index("item_id").loc["bread"]
    pd.testing.assert_series_equal(items.loc["bread"].drop("colour"), bread, check_names=False)
    oats = items.loc["oats"]
    assert (oats["category"], oats["maker"], oats["organic"]) == ("unknown", "71", True)
    assert oats[["title", "price", "fat", "since", "colour"]].isna().all()


def test_users_are_described_by_what_was_posted(tmp_path):
    posted = pd.DataFrame({"user_id": ["ann", "ben"], "age": ["18-34", None], "plan": [None, "gold"]})
    users = appended(tmp_path, users=posted).users.set_index("user_id")
    assert users.loc["ann"].to_dict() == {"age": "18-34", "plan": None}
    assert users["plan"]["ben"] == "gold"


def test_what_the_log_repeats_is_left_for_the_gate(tmp_path):
    log = a_log()
    twins = SourceFrames.of(log.events, pd.concat([log.items, log.items[:1]]), where="tests")
    pd.DataFrame({"item_id": ["oats"]}).to_parquet(tmp_path / "items.parquet")
    items = feedback.append_feedback(twins, tmp_path).items["item_id"].tolist()
    assert items == ["bread", "bread", "milk", "oats"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_source_reads_it_only_if_asked(tmp_path, asked):
    export(tmp_path, purchases("visitor", ["i0001"]))
    log = sources.read_source(SyntheticSource(feedback=asked, **WORLD), tmp_path, seed=1)
    assert log.events["user_id"].eq("visitor").any() == asked
    assert USERS.conform(log.users, "tests").equals(log.users)


def test_files_take_it_as_well(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nann,milk,2024-01-01\n")
    export(tmp_path, purchases("ben", ["oats"]))
    log = sources.read_source(FilesSource(paths=("log.csv",), feedback=True), tmp_path, seed=1)
    assert log.events["user_id"].tolist() == ["ann", "ben"]


def test_without_an_export_the_log_stands_alone(tmp_path):
    plain = sources.read_source(SyntheticSource(**WORLD), tmp_path, seed=1)
    asked = sources.read_source(SyntheticSource(feedback=True, **WORLD), tmp_path, seed=1)
    pd.testing.assert_frame_equal(plain.events, asked.events)
    pd.testing.assert_frame_equal(plain.items, asked.items)


def test_a_damaged_or_foreign_file_is_named(tmp_path):
    (tmp_path / "events.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UnreadableFileError, match=r"events\.parquet: cannot be read .*; export the store again"):
        feedback.append_feedback(a_log(), tmp_path)
    pd.DataFrame({"item_id": ["i"]}).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(MissingColumnError, match=r"events\.parquet: column 'user_id' is missing"):
        feedback.append_feedback(a_log(), tmp_path)
