"""Expressions against DuckDB, which reads the same text; and what is refused, with a message that helps."""

import contextlib
from datetime import UTC, datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects.duckdb import DuckDB

from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from tierrec_core.base.errors import SettingsError

TEXTS = ["", "a", "A", "ab", "b_", "a%b", "a\\", "it's", "é", "a\nb"]
MOMENTS = [datetime(2024, 1, day, hour, tzinfo=UTC) for day in (1, 2) for hour in (0, 12)]
TEXT, NUMBER, FLAG, MOMENT = pa.string(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC")
DESCRIBED = {"item_id": TEXT, "category": TEXT, "own brand": TEXT, "price": NUMBER, "stock": NUMBER}
SCHEMA = pa.schema(DESCRIBED | {"on_promotion": FLAG, "is_new": FLAG, "available_until": MOMENT})
CELLS = {TEXT: TEXTS, NUMBER: [-1.0, 0.0, 0.5, 2.0, 1e9], FLAG: [True, False], MOMENT: MOMENTS}
DTYPES = {TEXT: pd.StringDtype("pyarrow"), NUMBER: pd.Float64Dtype(), FLAG: pd.BooleanDtype()}


def table_of(num_rows: int) -> pa.Table:
    """Rows in which every cell is empty or one of a few values, so that all meet all."""
    rng = np.random.default_rng(0)
    columns = {}
    for column in SCHEMA:
        cells = [None, *CELLS[column.type]]
        columns[column.name] = [cells[place] for place in rng.integers(0, len(cells), num_rows)]
    return pa.table(columns | {"item_id": [f"i{number}" for number in range(num_rows)]}, SCHEMA)


TABLE = table_of(60)
ITEMS = Catalogue.of(TABLE.to_pandas(types_mapper=DTYPES.get))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def operands(columns: list[str], literals: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(columns * 3 + literals + ["null"])


OPERANDS = [
    operands(["category", '"own brand"'], [quoted(text) for text in TEXTS]),
    operands(["price", "stock"], ["-1", "0", "0.5", "2", "- -2", "1e9", ".5"]),
    operands(["on_promotion", "is_new"], ["true", "false"]),
    operands(["available_until"], ["'2024-01-01'", "'2024-01-01T12:00:00Z'", "'2024-01-02 02:00:00+02:00'"]),
]
PATTERNS = ["%", "", "a%", "%b", "_", "a_b", "a\\%", "a\\", "%'s", "A%", "é"]


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 3))
    one, two, three = (draw(OPERANDS[kind]) for _ in range(3))
    if kind == 3:  # only a column tells DuckDB that a text is a moment
        one = "available_until"
    negated = draw(st.sampled_from(["", "not "]))
    form = draw(st.integers(0, 4))
    if form == 0:
        return f"{one} {draw(st.sampled_from(['=', '<>', '!=', '<', '<=', '>', '>=']))} {two}"
    if form == 1:
        return f"{one} {negated}in ({two}, {three})"
    if form == 2:
        return f"{one} {negated}between {two} and {three}"
    if form == 3:
        return f"{one} is {negated}null"
    text = draw(st.sampled_from(["category", quoted("ab")]))
    return f"{text} {negated}like {quoted(draw(st.sampled_from(PATTERNS)))}"


EXPRESSIONS = st.recursive(
    comparisons()
    | comparisons().map("(not {})".format)
    | st.sampled_from(["true", "false", "null", "on_promotion", "not is_new"]),
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("{} or {}".format, inner, inner).map("({})".format)
        | st.builds("not ({})".format, inner)
        | st.builds("{} and {} or {}".format, inner, inner, inner).map("({})".format)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.register("items", TABLE)
    return connection


def by_duckdb(duck: duckdb.DuckDBPyConnection, text: str) -> list[bool]:
    return [row[0] for row in duck.sql(f"select coalesce(({text}), false) from items").fetchall()]


@pytest.mark.medium
@given(EXPRESSIONS)
@settings(max_examples=150)
def test_holds_where_duckdb_says_true(duck: duckdb.DuckDBPyConnection, text: str):
    assert ITEMS.mask(Expression.parse(text)).tolist() == by_duckdb(duck, text)


@pytest.mark.parametrize(
    "text",
    [
        *(f"category like {quoted(pattern)}" for pattern in PATTERNS),
        "category not like 'a%'",
        "price not in (0, 2)",
        "price not in (0, null)",
        "not (price in (0, stock))",
        "not price between 0 and stock",
        "price <> 0 or is_new",
        "not (on_promotion and is_new)",
        "price = null or true",
        "available_until not in ('2024-01-01', '2024-01-02 02:00:00+02:00')",
    ],
)
def test_patterns_and_nulls_are_duckdbs(duck: duckdb.DuckDBPyConnection, text: str):
    assert ITEMS.mask(Expression.parse(text)).tolist() == by_duckdb(duck, text)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    rows = [("a", "x", 1.0, True), ("b", "y", 5.0, False), ("c", None, None, None)]
    frame = pd.DataFrame(rows, columns=["item_id", "category", "price", "on_promotion"])
    return Catalogue.of(frame.assign(vector=[[1.0], [2.0], [3.0]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a condition"),
        ("price <", "is not a condition"),
        ("price < 1; drop table items", "is not a condition"),
        ("price < 1 category", "is not a condition"),
        ("lower(category) = 'x'", "'lower' is not supported"),
        ("price + 1 < 2", "'add' is not supported"),
        ("price::text = '1'", "'cast to' is not supported"),
        ("price in (select 1)", "'in query' is not supported"),
        ("price in category", "'in field' is not supported"),
        ("price between symmetric 2 and 1", "'between symmetric' is not supported"),
        ("items.price = 1", "'column table' is not supported"),
        ("exists (select 1)", "is not supported"),
        ("category like 'x' escape '!'", "'escape' is not supported"),
        ("category ilike 'x'", "'ilike' is not supported"),
        ("case when on_promotion then true end", "is not supported"),
        ("price = ?", "'placeholder' is not supported"),
        ("price = 1" + " or price = 1" * 200, "characters, wanted at most 2000"),
        ("(" * 40 + "price = 1" + ")" * 40, "nested"),
        ("not " * 450 + "on_promotion", "nested"),
    ],
)
def test_refuses_what_it_does_not_offer(text: str, message: str):
    with pytest.raises(SettingsError, match=r"^expression .") as caught:
        Expression.parse(text)
    assert message in str(caught.value)


WORDS = ["price", "category", "on_promotion", "'a'", "'2024'", "1", "1e", ".5", "0x1f", "e'a'", "(", ")", "=", "<", ","]
KEYWORDS = sorted([*DuckDB.Tokenizer.KEYWORDS, *DuckDB.Tokenizer.SINGLE_TOKENS])
SENTENCES = st.lists(st.sampled_from(WORDS) | st.sampled_from(KEYWORDS), max_size=9).map(" ".join)


@given(st.text(max_size=20) | SENTENCES | st.builds("price = {}".format, SENTENCES))
@settings(max_examples=250)
def test_any_text_is_a_mask_or_a_settings_error(catalogue: Catalogue, text: str):
    with contextlib.suppress(SettingsError):
        assert catalogue.mask(Expression.parse(text)).shape == (len(catalogue),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prise < 1", "column 'prise' is unknown; did you mean 'price'?"),
        ("Price < 1", "column 'Price' is unknown; did you mean 'price'?"),
        ("zzz = 1", "column 'zzz' is unknown; wanted one of item_id, title,"),
        ("category < 1", "compares text with a number"),
        ("price in ('a')", "compares a number with text"),
        ("on_promotion = 1", "compares true or false with a number"),
        ("price", "price is a number, wanted a condition"),
        ("price < 1 and 'x'", "'x' is text, wanted a condition"),
        ("price < 1e999", "is not a finite number"),
        ("price < 1e", "is not a finite number"),
        ("price < -category", "is not a finite number"),
        ("price like '1%'", "compares text with a number"),
        ("category like title", "wanted a pattern"),
        ("category in ()", "in () has no values"),
        ("on_promotion is true", "wanted is null"),
        ("vector = 1", "column 'vector' holds neither"),
    ],
)
def test_refuses_what_does_not_fit_the_catalogue(catalogue: Catalogue, text: str, message: str):
    expression = Expression.parse(text)
    with pytest.raises(SettingsError) as caught:
        expression.check(catalogue)
    assert message in str(caught.value)
    with pytest.raises(SettingsError):
        catalogue.mask(expression)


def test_names_the_moment_that_is_none():
    items = pd.DataFrame({"item_id": ["a"], "available_until": ["2024-01-31"]})
    with pytest.raises(SettingsError, match="'tomorrow' is not a time"):
        Expression.parse("available_until < 'tomorrow'").check(Catalogue.of(items))


def test_long_chains_are_one_level(catalogue: Catalogue):
    text = " or ".join(f"price = {price}" for price in range(100))
    assert catalogue.mask(Expression.parse(text)).tolist() == [True, True, False]


def test_a_mask_is_kept_and_cannot_be_changed(catalogue: Catalogue):
    mask = catalogue.mask(Expression.parse("price < 3"))
    assert mask is catalogue.mask(Expression.parse("price < 3"))
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False
