"""What the store holds comes out page by page, and as files that ingest reads beside the log."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from services.store import Impression, NewEvent, PostedItem, PostedUser, Store
from services.store.export import export_for_ingest, pages
from tests.support.postgres import new_schema
from tierrec_core import sources
from tierrec_core.base.contracts import EVENTS, ITEMS, USERS
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, SyntheticSource

pytest_plugins = ["tests.support.stores"]

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
NUM_EVENTS = 23
FILES = ("events.parquet", "items.parquet", "users.parquet")


def event(number: int) -> NewEvent:
    return NewEvent(
        key=f"k{number}",
        user_id=f"u{number % 3}",
        item_id=f"new-{number % 5}",
        event="purchase" if number % 2 else "view",
        timestamp=NOW + timedelta(minutes=number, microseconds=number),
        value=1.5 if number % 2 else None,
        session_id=f"s{number // 4}",
        request_id=f"r{number}",
    )


def impression(number: int) -> Impression:
    return Impression(
        request_id=f"r{number}",
        user_id=None,
        surface="ads",
        items=("a", "b"),
        path="cold",
        model_version="m",
        at=NOW,
        propensity=0.5,
    )


def fill(store: Store) -> Store:
    store.put_items([PostedItem("new-0", {"title": "old post", "price": 9.0})])
    store.add_events([event(number) for number in range(NUM_EVENTS)])
    store.add_impressions([impression(number) for number in range(NUM_EVENTS)])
    store.put_items(
        [
            PostedItem("new-1", {"title": "One", "price": 2, "stock": 3, "sold_out": True, "vector": [1, 0.5]}),
            PostedItem("new-0", {"title": "Zero", "price": 1.5, "category": "tea", "tags": ["b", "ä"], "none": None}),
            PostedItem("i00", {"price": 7.25, "stock": "many", "revision": "mine", "item_id": "other"}),
        ]
    )
    store.put_users([PostedUser("u1", {"region": "moon", "plan": "gold"}), PostedUser("u0", {})])
    return store


@pytest.mark.parametrize("size", [1, 7, NUM_EVENTS, 1000])
def test_pages_hold_every_event_once_in_order(store: Store, size: int) -> None:
    found = list(pages(fill(store), "events", size=size))
    whole = pd.concat([page.frame for page in found], ignore_index=True)
    assert [len(page.frame) for page in found[:-1]] == [size] * (len(found) - 1)
    assert whole["key"].tolist() == [f"k{number}" for number in range(NUM_EVENTS)]
    assert whole["timestamp"].tolist() == [event(number).timestamp for number in range(NUM_EVENTS)]
    assert whole["id"].tolist() == [one.id for one in store.events_after(0, 1000)]


def test_an_export_goes_on_where_it_was_cut_off(store: Store) -> None:
    first = next(pages(fill(store), "events", size=10))
    store.add_events([event(NUM_EVENTS)])
    rest = pd.concat([page.frame for page in pages(store, "events", after=first.cursor, size=10)])
    assert rest["key"].tolist() == [f"k{number}" for number in range(10, NUM_EVENTS + 1)]
    last = int(rest["id"].iloc[-1])
    assert list(pages(store, "events", after=last)) == []


def test_other_tables_come_out_as_well(store: Store) -> None:
    (shown,) = pages(fill(store), "impressions")
    assert shown.frame.loc[3, ["request_id", "items", "propensity", "at"]].tolist() == [
        "r3",
        ["a", "b"],
        0.5,
        pd.Timestamp(NOW),
    ]
    (items,) = pages(store, "items")
    assert items.frame["item_id"].tolist() == ["new-1", "new-0", "i00"]
    assert items.frame["title"].tolist()[:2] == ["One", "Zero"]
    assert items.frame["revision"].tolist() == [item.revision for item in store.items_after(0, 10)]
    (users,) = pages(store, "users")
    assert users.frame.set_index("user_id").loc["u1", ["region", "plan"]].tolist() == ["moon", "gold"]


def test_ingest_gets_no_deleted_items_and_users(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.delete_item("new-0")
    store.delete_item("never posted")
    store.delete_attributes("u1")
    export_for_ingest(store, tmp_path)
    assert pd.read_parquet(tmp_path / "items.parquet")["item_id"].tolist() == ["i00", "new-1"]
    assert pd.read_parquet(tmp_path / "users.parquet")["user_id"].tolist() == ["u0"]
    store.delete_attributes("u0")
    export_for_ingest(store, tmp_path)
    assert pd.read_parquet(tmp_path / "users.parquet").empty


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, postgres: str) -> None:
    written = []
    for url in (f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}", new_schema(postgres)):
        with contextlib.closing(Store.open(url)) as store:
            fill(store)
            for _ in range(2):
                assert export_for_ingest(store, tmp_path / "out") == NUM_EVENTS
                written.append([(tmp_path / "out" / name).read_bytes() for name in FILES])
    assert all(one == written[0] for one in written)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


def test_an_empty_store_exports_empty_frames(store: Store, tmp_path: Path) -> None:
    assert export_for_ingest(store, tmp_path) == 0
    for name, contract in zip(FILES, (EVENTS, ITEMS, USERS), strict=True):
        assert len(contract.conform(pd.read_parquet(tmp_path / name), name)) == 0


def test_attributes_keep_the_type_that_their_values_share(store: Store, tmp_path: Path) -> None:
    export_for_ingest(fill(store), tmp_path)
    items = pd.read_parquet(tmp_path / "items.parquet").set_index("item_id")
    assert items.index.tolist() == ["i00", "new-0", "new-1"]
    assert items["price"].tolist() == [7.25, 1.5, 2.0]
    assert items["sold_out"].tolist() == [pd.NA, pd.NA, True]
    assert items["stock"].tolist() == ["many", pd.NA, "3"]
    assert items["tags"].tolist() == [pd.NA, '["b", "\\u00e4"]', pd.NA]
    assert items["vector"]["new-1"].tolist() == [1.0, 0.5]
    assert items.columns.tolist() == ["category", "price", "sold_out", "stock", "tags", "title", "vector"]


def test_posted_events_come_out_of_ingest_beside_the_log(store: Store, tmp_path: Path) -> None:
    layout, source = Layout(tmp_path), SyntheticSource(num_users=9, num_items=12, days=20, feedback=True)
    settings = Settings.model_validate({"tasks": {}, "models": {}, "source": source})
    sources.run(layout, settings)
    log = pd.read_parquet(layout.raw_events)
    export_for_ingest(fill(store), layout.data / "feedback")
    sources.run(layout, settings)

    events = pd.read_parquet(layout.raw_events)
    assert len(events) == len(log) + NUM_EVENTS
    is_posted = events["item_id"].str.startswith("new-")
    wanted = pd.DataFrame([vars(event(number)) for number in range(NUM_EVENTS)])
    pd.testing.assert_frame_equal(
        events[is_posted].reset_index(drop=True), EVENTS.conform(wanted, "tests"), check_dtype=False
    )
    pd.testing.assert_frame_equal(events[~is_posted].reset_index(drop=True), log)

    items = pd.read_parquet(layout.raw_items).set_index("item_id")
    assert items.loc["new-0", ["title", "category", "price"]].tolist() == ["Zero", "tea", 1.5]
    assert items["price"]["i00"] == 7.25
    users = pd.read_parquet(layout.raw_users).set_index("user_id")
    assert users.loc["u1", ["region", "plan"]].tolist() == ["moon", "gold"]
