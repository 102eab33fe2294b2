"""The blend written out densely, taste groups found again, and items that nobody has met."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.text import item_texts, tokenize
from tierrec_core.linalg.cosine import nearest_by_cosine
from tierrec_core.search.similar_items import SimilarItems

BLANK = np.zeros((40, 1))


@pytest.fixture(scope="module")
def similar(interactions: Interactions, items: pd.DataFrame) -> SimilarItems:
    return SimilarItems.fit(interactions, items, BLANK, k=8)


def cosines(sets: list[set]) -> np.ndarray:
    """Shrunk cosine of what each item is in, [I, I]."""
    return np.array([[len(a & b) / math.sqrt((len(a) + 20) * (len(b) + 20)) for b in sets] for a in sets])


def test_weights_equal_the_blend_written_out(interactions, items, similar: SimilarItems) -> None:
    of_item = [np.flatnonzero(interactions.item == item) for item in range(40)]
    baskets = cosines([set(interactions.session[events].tolist()) for events in of_item])
    people = cosines([set(interactions.user[events].tolist()) for events in of_item])
    written = [set(tokenize(text)) for text in item_texts(items)]
    every = sorted(set().union(*written))
    rarity = [math.log(40 / sum(word in text for text in written)) for word in every]
    said = np.array([[word in text for word in every] for text in written]) * rarity
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    blend = baskets + 0.5 * people + 0.02 * said @ said.T
    np.fill_diagonal(blend, -1.0)
    for item in range(40):
        np.testing.assert_allclose(similar.weights[item], np.sort(blend[item])[::-1][:8], rtol=1e-5)
        np.testing.assert_allclose(blend[item, similar.neighbours[item]], similar.weights[item], rtol=1e-5)


def test_neighbours_share_the_taste_group(interactions, similar: SimilarItems) -> None:
    often = np.bincount(interactions.item) >= 20
    own = similar.neighbours[often] // 10 == np.flatnonzero(often)[:, None] // 10
    assert own.mean() > 0.9


def test_an_item_that_shares_nothing_has_neighbours_by_its_vector(interactions, items) -> None:
    """Nobody has met the last item, and its only word is its own."""
    lonely = interactions.where(interactions.item != 39)
    bare = ITEMS.conform(pd.DataFrame({"item_id": [f"id{n}" for n in range(40)]}), "tests")
    vectors = np.eye(40)[:, :5] + np.eye(40)[:, 35:]
    fitted = SimilarItems.fit(lonely, bare, vectors, k=8)
    assert fitted.neighbours[39].tolist() == [4] + [-1] * 7
    assert 0 < fitted.weights[39, 0] < fitted.weights[:39, 0].min()
    np.testing.assert_array_equal(fitted.weights[39, 1:], 0)


@given(st.integers(1, 60))
def test_a_table_is_ordered_distinct_and_padded(interactions, items, k: int) -> None:
    fitted = SimilarItems.fit(interactions, items, BLANK, k)
    assert fitted.neighbours.shape == fitted.weights.shape == (40, k)
    assert (np.diff(fitted.weights, axis=1) <= 0).all()
    assert ((fitted.neighbours >= 0) == (fitted.weights > 0)).all()
    for item, row in enumerate(fitted.neighbours):
        known = row[row >= 0].tolist()
        assert len(set(known)) == len(known)
        assert item not in known


def test_an_unseen_item_has_the_neighbours_of_those_it_is_like(similar: SimilarItems) -> None:
    """Written out: items vouch with the cosine for their neighbours' weights."""
    rng = np.random.default_rng(0)
    vectors, unseen = rng.normal(size=(40, 6)), rng.normal(size=(3, 6))
    neighbours, weights = similar.of_unseen(unseen, vectors)
    for one, row, weight in zip(unseen, neighbours, weights, strict=True):
        cosine = vectors @ one / np.linalg.norm(vectors, axis=1) / np.linalg.norm(one)
        votes = np.zeros(40)
        for voucher in np.argsort(-cosine)[:30]:
            votes[similar.neighbours[voucher]] += max(cosine[voucher], 0) * similar.weights[voucher]
        np.testing.assert_allclose(weight, np.sort(votes)[::-1][:8], rtol=1e-4)
        np.testing.assert_allclose(votes[row], weight, rtol=1e-4)


def test_an_unseen_item_of_a_group_gets_the_group(similar: SimilarItems) -> None:
    group = np.eye(4)[np.arange(40) // 10]
    neighbours, _ = similar.of_unseen(np.eye(4), group)
    assert (neighbours // 10 == np.arange(4)[:, None]).mean() > 0.9


SMALL = st.integers(-3, 3).map(float)


@given(hnp.arrays(float, (7, 3), elements=SMALL), hnp.arrays(float, (4, 3), elements=SMALL))
def test_nearest_equals_sorting_all_cosines(corpus: np.ndarray, vectors: np.ndarray) -> None:
    rows, cosine = nearest_by_cosine(vectors, corpus, 9)
    for vector, row, own in zip(vectors, rows, cosine, strict=True):
        length = np.linalg.norm(corpus, axis=1) * np.linalg.norm(vector)
        every = np.divide(corpus @ vector, length, out=np.zeros(7), where=length > 0)
        assert sorted(row[:7].tolist()) == list(range(7))
        np.testing.assert_allclose(own[:7], np.sort(every)[::-1], atol=1e-6)
        np.testing.assert_allclose(every[row[:7]], own[:7], atol=1e-6)
        assert (row[7:].tolist(), own[7:].tolist()) == ([-1, -1], [0, 0])
