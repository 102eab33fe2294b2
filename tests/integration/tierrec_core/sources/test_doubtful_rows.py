"""Rows that may be no purchases: left out where names and values are clear, else kept with a warning and its flag."""

import numpy as np
import pandas as pd
import pytest

from tests.support.order_exports import SHOPIFY, order_lines
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_LINES = 300
NAMES = {place: name for place, name in SHOPIFY.items() if place not in ("status", "sum")} | {"order": "Order ID"}


@pytest.fixture(scope="module")
def lines():
    """Lines of orders, and the number of the order of each."""
    written, frame = order_lines(NAMES)
    return written[:NUM_LINES], frame["order"][:NUM_LINES].str[1:].astype(int)


def proposed(written, folder, **overrides):
    written.to_csv(folder / "data.csv", index=False)
    proposal = propose_settings([folder / "data.csv"], overrides)
    return proposal, parse(FilesSource, proposal.patch["source"], "tests")


@pytest.mark.parametrize("name", ["return_customer", "customer_return", "ReturnCustomer"])
def test_customers_who_return_are_no_returns(name, lines, tmp_path):
    written, order = lines
    _, source = proposed(written.assign(**{name: np.where(order % 5, "N", "Y")}), tmp_path)
    assert (source.exclude, source.columns.event) == ({}, None)


@pytest.mark.parametrize("name", ["test", "is_deleted", "storniert"])
def test_marks_on_many_rows_leave_none_out_and_are_warned_of(name, lines, tmp_path):
    written, order = lines
    marked = written.assign(**{name: order % 2})
    proposal, source = proposed(marked, tmp_path)
    assert source.exclude == {}
    assert any(f"--exclude {name}=1 leaves them out" in line for line in proposal.warnings)
    proposal, _ = proposed(marked, tmp_path, exclude={name: ["1"]})
    assert not any("leaves them out" in line for line in proposal.warnings)
    _, source = proposed(written.assign(**{name: (order % 5 == 0).astype(int)}), tmp_path)
    assert source.exclude == {name: ("1",)}


def test_a_status_that_void_orders_alone_have_leaves_them_out(lines, tmp_path):
    written, order = lines
    _, source = proposed(written.assign(order_status=np.where(order % 7, None, "cancelled")), tmp_path)
    assert source.exclude == {"order_status": ("cancelled",)}


STATUSES = {
    "ステータス": ("発送済み", "キャンセル"),
    "注文状態": ("完了", "返品"),
    "订单状态": ("已完成", "已取消 已退款 交易关闭"),
    "주문상태": ("배송완료", "취소"),
    "Állapot": ("Teljesítve", "Törölve"),
    "Stare comandă": ("Livrată", "Anulată"),
    "Tila": ("Toimitettu", "Peruutettu"),
    "Status": ("Levert", "Kansellert Makulerad Dibatalkan widerrufen Retoure"),
    "Статус заказа": ("Доставлен", "Отменён отменена скасовано"),
    "Κατάσταση": ("Ολοκληρώθηκε", "Ακυρώθηκε"),
    "סטטוס": ("הושלם", "בוטל"),
    "الحالة": ("مكتمل", "ملغي"),
    "Trạng thái": ("Đã giao", "hủy"),
    "สถานะ": ("สำเร็จ", "ยกเลิก"),
    "Sipariş Durumu": ("Teslim Edildi", "İptal"),
    "Order State": ("Complete", "Closed"),
}


@pytest.mark.parametrize("name", STATUSES)
def test_cancelled_orders_in_many_languages_are_left_out(name, lines, tmp_path):
    written, order = lines
    live, void = STATUSES[name][0], STATUSES[name][1].split()
    proposal, source = proposed(
        written.assign(**{name: np.where(order % 7, live, np.resize(void, NUM_LINES))}), tmp_path
    )
    assert {kind.casefold() for kind in source.exclude[name]} == {kind.lower().casefold() for kind in void}
    assert not any("not understood" in line for line in proposal.warnings)


@pytest.mark.parametrize("kind", ["部分退款", "未取消", "partially refunded"])
def test_orders_of_which_a_part_came_back_are_kept(kind, lines, tmp_path):
    written, order = lines
    _, source = proposed(written.assign(status=np.where(order % 7, "paid", kind)), tmp_path)
    assert source.exclude == {}


def test_statuses_that_are_not_understood_are_warned_of(lines, tmp_path):
    written, order = lines
    status = np.select([order % 7 == 0, order % 7 == 1], ["Kuhtunud", "cancelled"], "paid")
    proposal, source = proposed(written.assign(order_status=status), tmp_path)
    assert source.exclude == {"order_status": ("cancelled",)}
    warned = next(line for line in proposal.warnings if "not understood" in line)
    assert f"Kuhtunud ({(status == 'Kuhtunud').sum()} rows, --exclude order_status=Kuhtunud)" in warned
    assert warned.endswith("beside --exclude order_status=cancelled")
    assert "paid" not in warned


OF_OTHERS = {"Shipping State": "CA NY", "Zahlung": "PayPal Kreditkarte", "marital_status": "single married"}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_columns_that_are_no_statuses_of_orders_are_not_warned_of(name, lines, tmp_path):
    written, order = lines
    proposal, _ = proposed(written.assign(**{name: np.array(OF_OTHERS[name].split())[order % 7 % 2]}), tmp_path)
    assert not any("not understood" in line for line in proposal.warnings)


@pytest.mark.parametrize("of_orders", [True, False], ids=["whole orders", "lines"])
def test_marks_on_sales_that_users_make_again_are_no_returns_of_their_own(of_orders, tmp_path):
    rng = np.random.default_rng(4)
    order = np.arange(NUM_LINES) // 2
    written = pd.DataFrame({"order_id": order, "order_date": pd.Timestamp("2024-01-05") + pd.to_timedelta(order, "h")})
    written["customer_id"], written["product_id"] = order % 5, rng.integers(0, 5, NUM_LINES)
    is_back = np.isin(order, rng.choice(order, 20)) if of_orders else rng.random(NUM_LINES) < 0.1
    _, source = proposed(written.assign(quantity=1, unit_price=2.5, returned=np.where(is_back, "Yes", "No")), tmp_path)
    assert (source.columns.event, source.exclude) == (None, {"returned": ("yes",)})
    assert len(read_files(source, tmp_path).events) == (~is_back).sum()


@pytest.mark.parametrize(
    ("name", "most"), [("Retourenmenge", 1), ("returned_units", 1), ("Returns", 2), ("Anzahl Retouren", 2)]
)
def test_numbers_of_pieces_that_came_back_are_no_marks(name, most, lines, tmp_path):
    written, _ = lines
    bought = 1 + np.arange(NUM_LINES) % 3
    back = np.minimum(np.where(np.arange(NUM_LINES) % 5, 0, most), bought)
    written = written.assign(**{"Lineitem quantity": bought, name: back})
    _, source = proposed(written, tmp_path)
    assert (source.returned, source.exclude, source.columns.event) == ((name,), {}, None)
    assert read_files(source, tmp_path).events["quantity"].sum() == (bought - back).sum()


@pytest.mark.parametrize("name", ["return_date", "Retourendatum"])
def test_the_date_of_a_return_is_a_mark(name, lines, tmp_path):
    written, order = lines
    _, source = proposed(written.assign(**{name: np.where(order % 7, None, "2024-09-01")}), tmp_path)
    assert source.exclude == {name: ("*",)}
    proposal, source = proposed(written.assign(**{name: np.where(order % 2, None, "2024-09-01")}), tmp_path)
    assert source.exclude == {}
    assert any(f"--exclude '{name}=*' leaves them out" in line for line in proposal.warnings)
