"""Any JSON report becomes tables, and no fact in it is lost."""

from hypothesis import given
from hypothesis import strategies as st

from monitoring.report.html import format_cell
from monitoring.report.json_blocks import json_tables, order_keys, readable_label
from monitoring.report.report import feature_importances

REPORT = st.recursive(
    st.integers(0, 10**6) | st.text("abc", min_size=1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3),
    max_leaves=12,
)


def leaves(value: object) -> list[str]:
    if isinstance(value, dict | list):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in leaves(part)]
    return [str(value)]


@given(st.dictionaries(st.text("abc_", min_size=1), REPORT, max_size=4))
def test_every_fact_of_a_report_is_in_some_cell(report):
    shown = " ".join(str(cell) for table in json_tables(report) for row in table.rows for cell in row)
    assert all(leaf in shown for leaf in leaves(report))


def test_shares_between_tiers_become_a_heat_table_in_order():
    moves = {"heavy": {"heavy": 0.9, "light": 0.1}, "light": {"heavy": 0.2, "light": 0.8}}
    (table,) = json_tables(order_keys({"transitions": moves}, ("light", "medium", "heavy")))
    assert table.heat
    assert table.columns == ("", "Light", "Heavy")
    assert table.rows == (("Light", 0.8, 0.2), ("Heavy", 0.1, 0.9))


def test_counts_of_like_things_become_bars():
    (table,) = json_tables(order_keys({"sizes": {"heavy": 5, "light": 20, "medium": 10}}, ("light", "medium", "heavy")))
    assert table.bars
    shares = [("Light", 1.0), ("Medium", 0.5), ("Heavy", 0.25)]
    assert [(name, table.share(count)) for name, count in table.rows] == shares


def test_records_show_words_before_numbers():
    (table,) = json_tables({"layers": [{"items": 3, "name": "tea"}, {"items": 4, "name": "soap"}]})
    assert table.columns == ("Name", "Items")
    assert table.rows == (("tea", 3), ("soap", 4))


def test_importances_are_shares_of_all_of_a_task():
    blend = {"discovery": {"feature_importance": {"a": 1.0, "b": 3.0}}, "next": {"importances": {"c": 2}, "trees": 9}}
    tables = list(feature_importances(blend))
    assert [table.title for table in tables] == ["Next", "Discovery"]
    assert tables[1].rows == (("b", 0.75), ("a", 0.25))


def test_figures_and_names_read_well():
    values = (None, True, 1469307, 0.38551, 0.0, 4.6e-5, 1234.5, "x")
    wanted = ["–", "yes", "1,469,307", "0.3855", "0", "4.6e-05", "1,234", "x"]
    assert [format_cell(value) for value in values] == wanted
    assert [readable_label(name) for name in ("ndcg@10", "rows_in", "mrr_gain")] == ["NDCG@10", "Rows in", "MRR gain"]
