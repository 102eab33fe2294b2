"""Lines that list a product of the same order again: it counts once."""

import numpy as np
import pandas as pd
import pytest

from tests.support.order_exports import SHOPIFY, key, order_lines, proposed
from tierrec_core.base.errors import DataError
from tierrec_core.sources.files import read_files

NAMES = SHOPIFY | {"item": "product_id"}


def with_parts(parent_price, part_price, **further):
    """Order lines, every second of which has a further line for its variant; and the true lines."""
    written, frame = order_lines(NAMES)
    written = written.drop(columns=["Total", "Lineitem name"])
    written.insert(0, "line_no", np.arange(len(written)) + 10_000)
    written["parent_item_id"], written["product_type"] = None, "simple"
    written["sku"] = frame["item"] + "-M"
    is_parent = frame.index % 2 == 0
    parents = written[is_parent].assign(product_type="configurable")
    price = written.loc[is_parent, "Lineitem price"]
    parts = written[is_parent].assign(
        parent_item_id=parents["line_no"], line_no=parents["line_no"] + 50_000, product_id="V" + parents["product_id"]
    )
    parents["Lineitem price"], parts["Lineitem price"] = price * parent_price, price * part_price
    lines = pd.concat([written[~is_parent], parents, parts]).sort_index(kind="stable").assign(**further)
    return lines, frame, is_parent


def read(lines, folder):
    proposal, source = proposed(lines, folder)
    events = read_files(source, folder).events
    return proposal, source, events[["user_id", "item_id", "timestamp"]].assign(worth=events["value"].round(2))


@pytest.mark.parametrize("part_price", [0, 1], ids=["parts without a price", "parts with the same price"])
def test_the_parts_of_a_product_do_not_count(part_price, tmp_path):
    lines, frame, is_parent = with_parts(1, part_price)
    proposal, source, events = read(lines, tmp_path)
    assert source.exclude == {"parent_item_id": ("*",)}
    shown = next(guess for guess in proposal.guesses if guess.place == "exclude parent_item_id")
    assert shown.evidence == f"parts of a product whose own line is kept; {is_parent.sum()} rows are left out"
    assert key(events) == key(frame[["user", "item", "time"]].assign(worth=frame["worth"].round(2)))


def test_a_product_without_a_price_yields_to_its_parts(tmp_path):
    lines, frame, is_parent = with_parts(0, 1)
    _, source, events = read(lines, tmp_path)
    assert source.exclude == {"product_type": ("configurable",)}
    truth = frame.assign(item=frame["item"].mask(is_parent, "V" + frame["item"]), worth=frame["worth"].round(2))
    assert key(events) == key(truth[["user", "item", "time", "worth"]])


def test_parts_and_products_that_no_column_tells_apart_are_asked_for(tmp_path):
    lines, _, _ = with_parts(0, 1, product_type="x")
    with pytest.raises(DataError, match=r"parent_item_id are parts of others.*\n--exclude 'parent_item_id=\*'"):
        proposed(lines, tmp_path)


def test_a_line_worth_nothing_beside_the_same_one_with_a_price_does_not_count(tmp_path):
    lines, frame, _ = with_parts(1, 0)
    proposal, source, events = read(lines.drop(columns=["parent_item_id", "product_type"]), tmp_path)
    assert list(source.exclude) == ["Lineitem price"]
    shown = next(guess for guess in proposal.guesses if guess.place == "exclude Lineitem price")
    assert shown.evidence.startswith("worth nothing; the order has the same sku with a price, which is kept; ")
    assert key(events) == key(frame[["user", "item", "time"]].assign(worth=frame["worth"].round(2)))


def test_a_parent_of_all_variants_of_a_catalogue_is_no_part(tmp_path):
    written, frame = order_lines(NAMES)
    written["parent_sku"] = "P" + frame["item"]
    _, source = proposed(written, tmp_path)
    assert not source.exclude
    assert len(read_files(source, tmp_path).events) == len(frame)
