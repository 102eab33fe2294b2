"""Orders for variety, against a plain loop that tries every item at every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.ranking.policy.diversity import calibrated, mmr, relevance

ITEMS, LABELS = 7, 3
seeds = st.integers(0, 2**32 - 1)
weights = st.floats(0, 1)


def a_list(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Relevance [ITEMS], two labels of each item, and a mixture of the second."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(LABELS, size=(2, ITEMS))
    return rng.random(ITEMS), first, second, rng.dirichlet(np.ones(LABELS))


def greedy(worth) -> list[int]:
    """Place by place the item for which worth(list, item) is highest, the first of several."""
    order: list[int] = []
    while len(order) < ITEMS:
        left = [item for item in range(ITEMS) if item not in order]
        order.append(max(left, key=lambda item: (worth(order, item), -item)))
    return order


@given(seeds, weights)
def test_mmr_is_the_greedy_order(seed: int, weight: float):
    relevant, first, second, _ = a_list(seed)

    def worth(order, item):
        alike = [np.mean([first[item] == first[one], second[item] == second[one]]) for one in order]
        return (1 - weight) * relevant[item] - weight * max(alike, default=0.0)

    assert mmr(relevant[None], (first[None], second[None]), weight)[0].tolist() == greedy(worth)


@given(seeds, weights)
def test_calibrated_is_the_greedy_order(seed: int, weight: float):
    relevant, _, label, wanted = a_list(seed)

    def worth(order, item):
        share = np.bincount(label[[*order, item]], minlength=LABELS) / (len(order) + 1)
        cost = sum(p * np.log(p / (0.99 * q + 0.01 * p)) for p, q in zip(wanted, share, strict=True))
        return round((1 - weight) * relevant[item] - weight * cost, 9)

    found = calibrated(relevant[None], label[None], wanted[None], weight)[0]
    for place, (mine, theirs) in enumerate(zip(found, greedy(worth), strict=True)):
        before = found[:place].tolist()
        assert worth(before, mine) == pytest.approx(worth(before, theirs), abs=1e-6)
        if mine != theirs:
            break


def test_no_weight_keeps_the_order_and_full_weight_follows_the_mixture():
    relevant = np.linspace(1, 0, 6)[None]
    label = np.array([[0, 0, 0, 1, 1, 1]])
    assert mmr(relevant, (label,), 0.0)[0].tolist() == list(range(6))
    assert calibrated(relevant, label, np.array([[0.5, 0.5]]), 0.0)[0].tolist() == list(range(6))
    even = calibrated(relevant, label, np.array([[0.5, 0.5]]), 1.0)[0]
    assert label[0, even[:4]].tolist() in ([0, 1, 0, 1], [0, 1, 1, 0])


def test_what_is_never_ranked_comes_last():
    relevant = np.array([[0.1, -np.inf, 0.2, -np.inf]])
    label = np.array([[0, -1, 0, -1]])
    assert mmr(relevant, (label,), 1.0)[0].tolist() == [0, 2, 1, 3]
    assert sorted(calibrated(relevant, label, np.array([[1.0]]), 0.5)[0][:2]) == [0, 2]


def test_relevance_spans_zero_to_one():
    scores = np.array([[3.0, 1.0, 2.0, -np.inf], [5.0, 5.0, -np.inf, -np.inf], [-np.inf] * 4])
    expected = [[1.0, 0.0, 0.5, -np.inf], [1.0, 1.0, -np.inf, -np.inf], [-np.inf] * 4]
    np.testing.assert_array_equal(relevance(scores), expected)
