"""The catalogue against a plain dictionary of rows; its masks against a look at every row."""

import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from tierrec_core.base.errors import DataError, MissingColumnError

TRAINED = pd.DataFrame(
    {
        "item_id": ["t0", "t1", "t2"],
        "title": ["tea", "milk", None],
        "category": ["drinks", "dairy", "dairy"],
        "price": [3.0, None, 1.0],
        "department": ["dry", "cold", "cold"],
        "stock": [4, 0, None],
    }
)
TEXTS = st.none() | st.sampled_from(["tea", "drinks", "dairy", ""])
ROWS = st.fixed_dictionaries(
    {"item_id": st.sampled_from(["t0", "t1", "t2", "p0", "p1", "p2"])},
    optional={
        "title": TEXTS,
        "category": TEXTS,
        "price": st.none() | st.sampled_from([0, 1.5, 9]),
        "stock": st.none() | st.integers(-1, 3),
        "on_promotion": st.none() | st.booleans(),
        "available_until": st.none() | st.sampled_from(["2024-01-01", "9999-12-31T23:59:59Z"]),
        "colour": TEXTS,
    },
)
CONDITIONS = [Expression.parse(text) for text in ("price < 2", "category = 'dairy' or stock > 1", "brand is null")]
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def plain(catalogue: Catalogue) -> dict[str, dict[str, object]]:
    """What is known of each item, without what is not, in the order of the columns."""
    names = [str(name) for name in catalogue.frame]
    everything = np.arange(len(catalogue))
    rows = zip(*(catalogue.values(name, everything) for name in names), strict=True)
    found = [{name: one for name, one in zip(names, row, strict=True) if one is not None} for row in rows]
    return {str(row["item_id"]): row for row in found}


@pytest.mark.medium
@given(st.lists(st.lists(ROWS, max_size=4), max_size=5))
@settings(max_examples=30)
def test_equals_a_dictionary_of_rows(batches: list[list[dict[str, object]]]):
    catalogue = Catalogue.of(TRAINED)
    expected, snapshots = plain(catalogue), []
    for batch in batches:
        snapshots.append((catalogue, plain(catalogue), [catalogue.mask(one).tolist() for one in CONDITIONS[:2]]))
        catalogue = catalogue.with_items(batch)
        for row in batch:
            known = expected.setdefault(str(row["item_id"]), {})
            known |= row
            if row.get("available_until"):
                known["available_until"] = datetime.fromisoformat(str(row["available_until"])).replace(tzinfo=UTC)
    expected = {item_id: {k: v for k, v in row.items() if v is not None} for item_id, row in expected.items()}
    assert plain(catalogue) == expected
    assert list(plain(catalogue)) == list(expected)
    assert catalogue.version == sum(map(bool, batches))
    assert catalogue.num_trained == 3
    ids = [*expected, "nobody"]
    assert catalogue.columns(ids).tolist() == [*range(len(expected)), -1]
    for condition in CONDITIONS:
        assert catalogue.mask(condition).tolist() == condition.matches(catalogue.frame).tolist()
    for old, rows, masks in snapshots:
        assert plain(old) == rows
        assert [old.mask(one).tolist() for one in CONDITIONS[:2]] == masks


def test_two_catalogues_may_grow_from_one():
    parent = Catalogue.of(TRAINED)
    one, other = parent.with_items([{"item_id": "a"}]), parent.with_items([{"item_id": "b"}])
    assert one.columns(["a", "b"]).tolist() == [3, -1]
    assert other.columns(["a", "b"]).tolist() == [-1, 3]
    assert parent.columns(["a", "b"]).tolist() == [-1, -1]


def test_a_condition_on_a_column_that_comes_later_is_looked_at_anew():
    before = Catalogue.of(TRAINED)
    cheap, plain_items = Expression.parse("price < 2"), Expression.parse("colour is null")
    assert before.mask(cheap).tolist() == [False, False, True]
    after = before.with_items([{"item_id": "t1", "colour": "red", "price": 1}])
    assert after.mask(cheap).tolist() == [False, True, True]
    assert after.mask(plain_items).tolist() == [True, False, True]


def test_many_small_posts_equal_a_large_one():
    rows = [{"item_id": f"p{number}", "title": f"thing {number}", "price": number} for number in range(40)]
    slowly = Catalogue.of(TRAINED)
    for row in rows:
        slowly = slowly.with_items([row])
    assert plain(slowly) == plain(Catalogue.of(TRAINED).with_items(rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"title": "no id"}, "item_id is None"),
        ({"item_id": ""}, "item_id is ''"),
        ({"item_id": 7}, "item_id is 7"),
        ({"item_id": "t0", "price": "cheap"}, "t0: price is 'cheap', wanted a number"),
        ({"item_id": "t0", "price": True}, "t0: price is True, wanted a number"),
        ({"item_id": "t0", "price": float("inf")}, "t0: price is inf, wanted a number"),
        ({"item_id": "new", "title": 5}, "new: title is 5, wanted text"),
        ({"item_id": "new", "stock": "many"}, "new: stock is 'many', wanted a number"),
        ({"item_id": "new", "on_promotion": 1}, "new: on_promotion is 1, wanted true or false"),
        ({"item_id": "new", "available_until": "soon"}, "new: available_until is 'soon', wanted a time"),
        ({"item_id": "new", "available_until": 1_700_000_000}, "available_until is 1700000000, wanted a time"),
        ({"item_id": "new", "colours": ["red"]}, "colours is ['red'], wanted text, a number"),
        ({"item_id": "new"} | {f"a{number}": 1 for number in range(300)}, "wanted at most 256"),
    ],
)
def test_refuses_a_row_and_stays_as_it_was(row: dict[str, object], message: str):
    catalogue = Catalogue.of(TRAINED)
    before = plain(catalogue)
    with pytest.raises(DataError) as caught:
        catalogue.with_items([{"item_id": "fine"}, row])
    assert message in str(caught.value)
    assert plain(catalogue) == before


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("any", [1, None], [1.0, None]),
        ("any", [True, None], [True, None]),
        ("any", ["a", None], ["a", None]),
        ("any", [date(2024, 1, 2), None], [NOW + timedelta(days=1), None]),
        ("any", pd.Categorical(["a", None]), ["a", None]),
        ("any", pd.Series([None, None], dtype="boolean"), [None, None]),
        ("any", pd.to_datetime(["2024-01-02 01:00", None]).tz_localize("Europe/Paris"), [NOW + timedelta(1), None]),
        ("on_promotion", [1, 0], [True, False]),
        ("stock", [None, None], [None, None]),
        ("available_from", ["2024-01-01T02:00+02:00", None], [NOW, None]),
    ],
)
def test_a_column_has_the_type_of_its_meaning_or_else_of_its_values(
    column: str, values: object, expected: list[object]
):
    frame = pd.DataFrame({"item_id": ["a", "b"], column: values})
    assert Catalogue.of(frame).values(column, np.array([0, 1])) == expected


def test_refuses_items_whose_columns_mean_something_else():
    with pytest.raises(DataError, match="stock is 'plenty', wanted a number"):
        Catalogue.of(TRAINED.assign(stock="plenty"))
    with pytest.raises(MissingColumnError, match="'item_id' is missing"):
        Catalogue.of(TRAINED.drop(columns="item_id"))


def test_is_available_from_its_first_moment_up_to_its_last():
    assert Catalogue.of(TRAINED).available(NOW) is None
    spans = {"available_from": ["2024-01-01", None, None], "available_until": [None, "2024-01-01", None]}
    catalogue = Catalogue.of(TRAINED.assign(**spans))
    second = timedelta(microseconds=1)
    assert catalogue.available(NOW - second).tolist() == [False, True, True]
    assert catalogue.available(NOW).tolist() == [True, False, True]
    later = catalogue.with_items([{"item_id": "t2", "available_from": "2025-01-01"}, {"item_id": "new"}])
    assert later.available(NOW).tolist() == [True, False, False, True]


def test_one_change_of_stock_costs_little_in_a_large_catalogue():
    count = 15_000
    names = [f"item {number}" for number in range(count)]
    prices = np.arange(count, dtype=float)
    frame = pd.DataFrame({"item_id": names, "title": names, "category": "tea", "brand": "own", "price": prices})
    catalogue = Catalogue.of(frame).with_items([{"item_id": "item 7", "stock": 1}])
    row = {"item_id": "item 7", "title": "item 7", "category": "tea", "brand": "own", "price": 7.0}
    catalogue.available(NOW)
    costs = []
    for stock in range(2, 32):
        start = time.thread_time()
        changed = catalogue.with_items([row | {"stock": stock}])
        changed.available(NOW)
        costs.append(time.thread_time() - start)
        assert changed.changed_since(catalogue.version) == {"stock"}
        catalogue = changed
    assert min(costs) < 0.002, "seconds of CPU; the others share the machine with other tests"
    assert catalogue.values("stock", np.array([7])) == [31]
