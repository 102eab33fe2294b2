"""Columns that number the lines of an order are neither items nor orders, whatever they are called."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.sources.schema_inference import propose_settings

NUM_ORDERS = 250


@pytest.fixture(scope="module")
def lines():
    """Lines of orders with their number, the product's and that of the order."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, NUM_ORDERS)
    order = np.repeat(np.arange(NUM_ORDERS), sizes)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_ORDERS) * 5, unit="h")
    users = rng.integers(0, 60, NUM_ORDERS)
    product = rng.integers(0, 40, len(order))
    number = np.concatenate([np.arange(1, size + 1) for size in sizes])
    columns = {"order": order + 1000, "customer": users[order], "date": times[order]}
    return pd.DataFrame(columns | {"number": number, "product": product})


def columns_of(frame, folder):
    frame.to_csv(folder / "log.csv", index=False)
    return propose_settings([folder / "log.csv"], {}).patch["source"]["columns"]


@pytest.mark.parametrize("step", [1, 10])
@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize(
    ("name", "product"), [("order_item", "product name"), ("item_no", "sku"), ("line_no", "article")]
)
def test_a_number_of_lines_is_no_item(name, product, is_sorted, step, lines, tmp_path):
    frame = lines.assign(**{name: lines["number"] * step, product: "Chair " + lines["product"].astype(str)})
    frame = frame.drop(columns=["number", "product"]).sample(frac=1, random_state=0)
    found = columns_of(frame.sort_index() if is_sorted else frame, tmp_path)
    assert (found["item"], found["session"]) == (product, "order")


def test_a_number_of_lines_is_no_order(lines, tmp_path):
    frame = lines.rename(columns={"order": "bestellnr", "number": "order_line", "product": "sku"})
    assert columns_of(frame.drop(columns="bestellnr"), tmp_path).get("session") is None


def test_items_that_each_user_rates_one_after_the_other_are_items(tmp_path):
    grid = pd.MultiIndex.from_product([range(40), range(1, 26)], names=["user_id", "item_id"]).to_frame(index=False)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(len(grid)), unit="min")
    assert (
        columns_of(grid.assign(rating=grid["item_id"] % 5, time=times, title="x"), tmp_path).get("item", "item_id")
        == "item_id"
    )
