"""A shop of a dozen items in which everybody knows what to find, and BM25 written out as loops."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.text import item_texts, tokenize
from tierrec_core.search.index import SearchIndex

SHOP = [
    ("Corn flakes", "breakfast cereal", "Kelly"),
    ("Oat granola", "breakfast cereal", "Kelly"),
    ("Chocolate granola", "breakfast cereal", "Quick"),
    ("Oat flakes", None, "Quick"),
    ("Dark chocolate", "candy", "Cacao"),
    ("Milk chocolate", "candy", "Cacao"),
    ("Whole milk", "dairy", "Farm"),
    ("Crème fraîche", "dairy", "Farm"),
    ("Hand soap", "bath", "Clean"),
    ("Shower soap", "bath", "Clean"),
    ("Dish soap", "kitchen", "Clean"),
    ("Strawberry jam", "spreads", "Farm"),
]
CREME, JAM, OATS = 7, 11, 3


def shop(rows=SHOP) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["title", "category", "brand"])
    return ITEMS.conform(frame.assign(item_id=[f"i{n}" for n in range(len(rows))]), "tests")


INDEX = SearchIndex.fit(shop())


@pytest.fixture(scope="module")
def index() -> SearchIndex:
    return INDEX


def found(index: SearchIndex, text: str, k: int = 3) -> list[int]:
    return index.query(text, k)[0].tolist()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("soap", {8, 9, 10}),
        ("SOAP!", {8, 9, 10}),
        ("dish soap", {10}),
        ("chocolate milk", {5}),
        ("candy", {4, 5}),
        ("kelly cereal", {0, 1}),
        ("creme fraiche", {CREME}),
        ("crème", {CREME}),
        ("strawbery", {JAM}),
        ("berry", {JAM}),
        ("strawberryjam", {JAM}),
        ("choclate mlik", {5}),
    ],
)
def test_finds_first_what_everybody_would(index: SearchIndex, text: str, wanted: set[int]) -> None:
    assert set(found(index, text, len(wanted))) == wanted


@pytest.mark.parametrize("text", ["", " ", "?!", "xqzw", "🙂"])
def test_finds_nothing_where_nothing_is_meant(index: SearchIndex, text: str) -> None:
    columns, scores = index.query(text, 5)
    assert (columns.shape, scores.shape) == ((0,), (0,))


def test_a_word_finds_items_that_do_not_carry_it_by_their_company(index: SearchIndex) -> None:
    assert found(index, "breakfast", 4)[-1] == OATS
    assert not set(found(index, "breakfast", 12)) & {8, 9, 10}


def test_a_word_finds_items_that_the_same_people_choose() -> None:
    """Nothing that is written of tea and of lemons has a word in common."""
    rows = [("Green tea", None, None), ("Black tea", None, None), ("Lemons", None, None), ("Nails", None, None)]
    bought = np.array([[1, 0], [1, 0.1], [0.9, 0.1], [0, 1]])
    assert found(SearchIndex.fit(shop(rows), bought), "tea") == [0, 1, 2]
    assert sorted(found(SearchIndex.fit(shop(rows)), "tea")) == [0, 1]


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=2, max_size=6))
def test_postings_equal_bm25_written_out(corpus: list[list[str]]) -> None:
    index = SearchIndex.fit(shop([(" ".join(text), None, None) for text in corpus]))
    mean = sum(map(len, corpus)) / len(corpus)
    for row, word in enumerate(index.vocabulary.words):
        carriers = sum(word in text for text in corpus)
        idf = math.log(1 + (len(corpus) - carriers + 0.5) / (carriers + 0.5))
        for column, text in enumerate(corpus):
            often = text.count(word)
            wanted = idf * often * 2.2 / (often + 1.2 * (0.5 + 0.5 * len(text) / mean))
            assert index.fitted.postings[row, column] == pytest.approx(wanted, rel=1e-5)


def test_the_order_of_full_matches_is_that_of_bm25(index: SearchIndex) -> None:
    """What BM25 puts first by a query of known words is first here."""
    written = [Counter(tokenize(text)) for text in item_texts(shop())]
    weight = index.fitted.postings.toarray()
    for text in ("oat flakes", "soap", "milk", "granola quick", "farm dairy milk"):
        rows = [index.vocabulary.row[word] for word in tokenize(text)]
        total = weight[rows].sum(axis=0)
        best = index.query(text, 1)[0][0]
        assert total[best] == total.max()
        assert set(tokenize(text)) & set(written[best])


@given(st.text(st.sampled_from("aceghiklmoprstwy "), max_size=30), st.integers(1, 15))
def test_scores_fall_from_one_and_columns_are_distinct(text: str, k: int) -> None:
    columns, scores = INDEX.query(text, k)
    assert len(columns) == len(scores) <= k
    assert len(set(columns.tolist())) == len(columns)
    assert not len(scores) or scores[0] == 1.0
    assert ((scores > 0) & (scores <= 1)).all()
    assert (np.diff(scores) <= 0).all()


def test_a_posted_item_is_found_at_once(index: SearchIndex) -> None:
    more = shop([("Zebra biscuits", "cookies", "Kelly"), ("Oat biscuits", "cookies", "Quick")])
    grown = index.with_items(more, np.array([12, 13]))
    assert len(grown) == 14
    assert found(grown, "zebra", 1) == [12]
    assert found(grown, "zebar", 1) == [12]
    assert set(found(grown, "cookies", 2)) == {12, 13}
    assert found(index, "zebra") == []


def test_a_changed_item_is_found_by_what_is_written_now(index: SearchIndex) -> None:
    changed = shop([("Claw hammer", "tools", "Acme")])
    grown = index.with_items(changed, np.array([JAM]))
    assert len(grown) == len(index)
    assert found(grown, "claw", 1) == found(grown, "acme hammer", 1) == [JAM]
    assert JAM not in found(grown, "strawberry", 12)
    again = grown.with_items(shop([SHOP[JAM]]), np.array([JAM]))
    assert found(again, "strawberry", 1) == [JAM]
    assert JAM not in found(again, "claw", 12)
    assert len(again.columns) == 1


def test_posting_nothing_changes_nothing(index: SearchIndex) -> None:
    same = index.with_items(shop([]), np.zeros(0, np.int64))
    for text in ("milk", "soap"):
        assert same.query(text, 5)[0].tolist() == index.query(text, 5)[0].tolist()


@given(st.permutations(range(4)))
def test_the_order_of_posts_does_not_matter(order: list[int]) -> None:
    posts = shop([("Corn bread", "bakery", "Farm"), ("Rye bread", "bakery", None), *SHOP[:2]])
    columns = np.array([12, 13, 0, 14])
    one, other = INDEX.with_items(posts, columns), INDEX
    for row in order:
        other = other.with_items(posts.iloc[[row]], columns[[row]])
    for text in ("bread", "corn", "kelly", "rye farm", "brad"):
        for wanted, got in zip(one.query(text, 9), other.query(text, 9), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_posted_twin_scores_as_the_fitted_item(index: SearchIndex) -> None:
    grown = index.with_items(shop([SHOP[4]]), np.array([12]))
    scores = dict(zip(*(array.tolist() for array in grown.query("dark chocolate", 13)), strict=True))
    assert scores[4] == pytest.approx(scores[12], rel=1e-5)


def test_a_posted_item_can_bring_its_vector() -> None:
    rows = [("Green tea", None, None), ("Black tea", None, None), ("Nails", None, None)]
    index = SearchIndex.fit(shop(rows), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    lemons = shop([("Lemons", None, None)])
    assert found(index.with_items(lemons, np.array([3]), np.array([[2.0, 0.0]])), "tea") == [0, 1, 3]
    assert sorted(found(index.with_items(lemons, np.array([3])), "tea")) == [0, 1]


def test_survives_disk(index: SearchIndex, tmp_path: Path) -> None:
    for place, one in enumerate((index, index.with_items(shop([("Rye bread", None, None)]), np.array([12])))):
        artifacts.save(one, tmp_path / str(place))
        again = artifacts.load(SearchIndex, tmp_path / str(place))
        for text in ("milk", "brekfast", "rye"):
            for wanted, got in zip(one.query(text, 9), again.query(text, 9), strict=True):
                np.testing.assert_array_equal(got, wanted)


def test_items_without_any_text_are_found_by_their_ids() -> None:
    index = SearchIndex.fit(ITEMS.conform(pd.DataFrame({"item_id": ["4711", "4712"]}), "tests"))
    assert found(index, "4712") == [1]
