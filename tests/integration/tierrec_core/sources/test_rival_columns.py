"""Two columns may have a role, and the contents decide: ids over flags, users who come again over those who do not."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.sources.schema_inference import propose_settings

NUM_ORDERS = 120


@pytest.fixture
def orders():
    """Two lines an order, by 30 customers."""
    rng = np.random.default_rng(11)
    order = np.repeat(np.arange(NUM_ORDERS), 2)
    customer = np.repeat(rng.integers(0, 30, NUM_ORDERS), 2)
    items = rng.integers(0, 20, len(order))
    log = pd.DataFrame({"order_id": 1000 + order, "customer_id": customer, "product_id": items})
    log["order_date"] = pd.Timestamp("2024-02-03 09:00") + pd.to_timedelta(order * 7, unit="h")
    return log.assign(unit_price=2.5 + items, quantity=rng.integers(1, 4, len(order)))


def columns_of(folder, log):
    log.to_csv(folder / "log.csv", index=False)
    return propose_settings([folder / "log.csv"], {}).patch["source"]["columns"]


def test_a_flag_of_all_items_is_no_item(orders, tmp_path):
    skus = "S" + orders["product_id"].astype("string")
    skus.iloc[3] = pd.NA
    log = orders.drop(columns="product_id").assign(**{"Lineitem sku": skus, "Lineitem requires shipping": "true"})
    assert columns_of(tmp_path, log)["item"] == "Lineitem sku"


@pytest.mark.parametrize("name", ["first_order", "online_order"])
def test_a_flag_is_no_session(orders, tmp_path, name):
    log = orders.drop(columns="order_id").assign(**{name: orders["order_id"] % 2})
    assert "session" not in columns_of(tmp_path, log)


@pytest.mark.parametrize("name", ["customer_unique_id", "customer_email"])
def test_users_who_come_again_are_taken_before_those_of_one_order(orders, tmp_path, name):
    log = orders.assign(
        **{"customer_id": orders["order_id"] + 7000, name: "k" + orders["customer_id"].astype("string")}
    )
    assert columns_of(tmp_path, log)["user"] == name


def test_users_of_one_order_each_stay_without_others(orders, tmp_path):
    assert columns_of(tmp_path, orders.assign(customer_id=orders["order_id"] + 7000))["user"] == "customer_id"


@pytest.mark.parametrize(
    ("listed", "paid"), [("list_price", "sale_price"), ("original_price", "final_price"), ("regular_price", "price")]
)
def test_what_was_paid_is_taken_before_the_list_price(orders, tmp_path, listed, paid):
    log = orders.rename(columns={"unit_price": paid})
    log.insert(3, listed, orders["unit_price"] * 1.5)
    assert columns_of(tmp_path, log)["value"] == paid


def test_the_time_of_an_update_follows_the_event(orders, tmp_path):
    log = orders.rename(columns={"order_date": "date_add"})
    log.insert(0, "date_upd", log["date_add"] + pd.Timedelta("40D"))
    assert columns_of(tmp_path, log)["timestamp"] == "date_add"
