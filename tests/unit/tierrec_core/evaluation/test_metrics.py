"""Metrics against a slow reading of their definitions, and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from tierrec_core.base.errors import EmptyDataError
from tierrec_core.evaluation.metrics import METRICS, Truth, coverage, per_user

NUM_ITEMS = 12
LIST = st.lists(st.integers(0, NUM_ITEMS - 1), unique=True, max_size=6).map(lambda x: x + [-1] * (6 - len(x)))
USER = st.tuples(LIST, st.sets(st.integers(0, NUM_ITEMS - 1)))
WORLD = st.lists(USER, min_size=1, max_size=8).filter(lambda world: any(relevant for _, relevant in world))


def by_hand(shown, relevant, k):
    places = [rank for rank, item in enumerate(shown[:k], 1) if item in relevant]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        "ndcg": sum(1 / math.log2(rank + 1) for rank in places) / ideal,
        "recall": len(places) / len(relevant),
        "mrr": 1 / places[0] if places else 0.0,
        "hit": float(bool(places)),
    }


def truth_of(relevant):
    pairs = [(user, item) for user, items in enumerate(relevant) for item in items]
    return Truth.of(*np.array(pairs).reshape(-1, 2).T, NUM_ITEMS)


@pytest.mark.medium
@given(WORLD, st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_equals_the_definitions(world, k):
    lists, relevant = zip(*world, strict=True)
    found = per_user(np.array(lists), truth_of(relevant), k)
    expected = [by_hand(*user, k) for user in world if user[1]]
    for metric in METRICS:
        np.testing.assert_allclose(found[metric], [user[metric] for user in expected])


@given(WORLD, st.integers(1, 8), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_users_changes_nothing(world, k, random):
    shuffled = random.sample(world, len(world))
    first, second = (
        per_user(np.array([shown for shown, _ in users]), truth_of([found for _, found in users]), k)
        for users in (world, shuffled)
    )
    for metric in METRICS:
        np.testing.assert_allclose(np.sort(first[metric]), np.sort(second[metric]))


def test_ndcg_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores, relevance = rng.random((30, NUM_ITEMS)), rng.random((30, NUM_ITEMS)) < 0.3
    relevance[:, 0] = True
    lists = np.argsort(-scores, axis=1)
    found = per_user(lists, Truth.of(*np.nonzero(relevance), NUM_ITEMS), 5)["ndcg"]
    np.testing.assert_allclose(found.mean(), ndcg_score(relevance, scores, k=5))


def test_repeated_pairs_count_once():
    truth = Truth.of(np.array([1, 1, 0]), np.array([2, 2, 5]), NUM_ITEMS)
    assert (truth.user.tolist(), truth.item.tolist(), truth.num_relevant.tolist()) == ([0, 1], [5, 2], [1, 1])


def test_no_truth_is_named():
    with pytest.raises(EmptyDataError, match="horizon_days"):
        Truth.of(np.array([], int), np.array([], int), NUM_ITEMS)


def test_coverage_counts_distinct_items_of_the_first_k():
    lists = np.array([[0, 1, 9], [1, 2, -1]])
    assert coverage(lists, 10, 2) == pytest.approx(0.3)
    assert coverage(lists, 10, 3) == pytest.approx(0.4)
