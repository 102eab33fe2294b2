"""What a typed word may mean, against a plain edit distance and plain loops."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.data.text import Vocabulary, item_texts, tokenize

KNOWN = ["strawberry", "strawberries", "blueberry", "cheddar", "cheese", "milk", "oatmilk", "hot", "dogs", "12", "7up"]
LEXICON = Vocabulary.of([KNOWN])
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def meant(word: str, lexicon: Vocabulary = LEXICON) -> dict[str, float]:
    return {lexicon.words[row]: weight for row, weight in lexicon.match(word).items()}


def optimal_string_alignment(one: str, other: str) -> int:
    """The textbook's table: insert, delete, replace, or swap two neighbours."""
    table = [[max(i, j) if i * j == 0 else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
            )
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@st.composite
def misspelt(draw: st.DrawFn) -> tuple[str, str]:
    """A known word and what one edit makes of it."""
    word = draw(st.sampled_from([word for word in KNOWN if len(word) >= 4 and word.isalpha()]))
    at, letter = draw(st.integers(0, len(word) - 2)), draw(st.sampled_from(LETTERS))
    edits = (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    return word, draw(st.sampled_from(edits))


@given(misspelt())
def test_one_edit_still_means_the_word(pair: tuple[str, str]) -> None:
    word, typed = pair
    assert word in meant(typed)


@given(st.text(LETTERS, min_size=6, max_size=11))
def test_misspellings_are_those_within_two_edits(typed: str) -> None:
    near = {word for word in KNOWN if word.isalpha() and optimal_string_alignment(typed, word) <= 2}
    inside = {word for word in KNOWN if typed in word}
    halves = {part for cut in range(3, len(typed) - 2) for part in (typed[:cut], typed[cut:])}
    found = set(meant(typed))
    if typed in KNOWN:
        assert typed in found
    elif near | inside:
        assert found == near | inside
    else:
        assert found <= halves & set(KNOWN)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("milk", {"milk"}),
        ("strawberry", {"strawberry"}),
        ("berry", {"strawberry", "blueberry"}),
        ("straw", {"strawberry", "strawberries"}),
        ("hotdogs", {"hot", "dogs"}),
        ("13", set()),
        ("7", set()),
        ("x", set()),
        ("chedder", {"cheddar"}),
    ],
)
def test_meanings_of(typed: str, wanted: set[str]) -> None:
    assert set(meant(typed)) == wanted


def test_a_known_word_comes_first_and_its_inflection_faintly() -> None:
    shelf = Vocabulary.of([["beer", "beers", "bears", "beermats"]])
    for typed, inflected in (("beer", "beers"), ("beers", "beer")):
        found = meant(typed, shelf)
        assert set(found) == {typed, inflected}
        assert found[typed] == 1.0
        assert 0 < found[inflected] < 0.5


def test_the_best_meaning_weighs_one_and_nearer_ones_more() -> None:
    found = meant("chedar", Vocabulary.of([["cheddar", "cedar", "chegars"]]))
    assert max(found.values()) == 1.0
    assert found["cheddar"] > found["chegars"]


@given(st.lists(st.lists(st.text("ab", max_size=2), max_size=4), max_size=4))
def test_counts_equal_a_plain_loop(texts_of_words: list[list[str]]) -> None:
    lexicon = Vocabulary.of([["a", "b", "ab"]])
    count = lexicon.count(texts_of_words)
    assert count.shape == (len(texts_of_words), 3)
    for row, text in enumerate(texts_of_words):
        assert [count[row, place] for place in range(3)] == [text.count(word) for word in lexicon.words]


def test_an_extended_lexicon_keeps_its_rows() -> None:
    more = LEXICON.extended([["zebra", "milk"], ["apple"]])
    assert list(more.words) == [*LEXICON.words, "apple", "zebra"]
    assert LEXICON.extended([["milk"]]) is LEXICON


def test_words_are_folded() -> None:
    assert tokenize("Crème-Brûlée, 2/7.5 OZ straße_x") == ["creme", "brulee", "2", "7", "5", "oz", "strasse", "x"]


def test_a_text_has_the_title_or_the_id_and_what_can_be_read() -> None:
    rows = [("1", "Green tea", "Acme", "170", 1.0, [0.1]), ("2", None, None, "K2", 2.0, [0.2])]
    items = pd.DataFrame(rows, columns=["item_id", "title", "brand", "maker", "price", "vector"])
    items = items.astype({"brand": "category"})
    assert [text.split() for text in item_texts(items)] == [["Green", "tea", "Acme"], ["2", "K2"]]
