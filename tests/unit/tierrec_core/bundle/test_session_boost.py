"""The session boost against arithmetic by hand and against properties that any list must keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.bundle.session_boost import FreshEvents, SessionBoost

NEIGHBOURS = np.array([[1, 2], [0, 2], [0, -1], [4, -1], [3, -1]])
SIMILARITY = np.array([[1.0, 0.5], [1.0, 0.2], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
BOOST = SessionBoost(NEIGHBOURS, SIMILARITY, strength=2.0)


def fresh(*pairs: tuple[int, float]) -> FreshEvents:
    columns, weights = zip(*pairs, strict=True) if pairs else ((), ())
    return FreshEvents(np.array(columns, dtype=np.int64), np.array(weights, dtype=float))


def test_a_boost_is_the_saturated_sum_over_events() -> None:
    items, boost = BOOST.boosts(fresh((0, 1.0), (2, 0.5)))
    assert items.tolist() == [0, 1, 2]
    by_hand = [1.0 + 0.5, 1.0, 0.5 + 0.5]
    assert boost == pytest.approx(1 - np.exp(-np.array(by_hand)))


def test_without_fresh_events_the_list_is_the_same_object() -> None:
    columns, scores = np.array([4, 2]), np.array([1.0, 0.5])
    assert BOOST.apply(columns, scores, fresh()) == (columns, scores)


def test_a_new_interest_reaches_the_top_and_listed_items_keep_their_order() -> None:
    columns, scores = np.array([0, 1, 2]), np.array([3.0, 2.0, 1.0])
    items, moved = BOOST.apply(columns, scores, fresh((3, 1.0)))
    assert set(items[:2]) == {3, 4}
    assert items[2:].tolist() == [0, 1, 2]
    assert moved[2:] == pytest.approx([1.0, 0.5, 0.0])
    assert moved[:2] == pytest.approx(2.0 * (1 - np.exp(-1.0)))


def test_blocked_items_stay_blocked_and_do_not_change_the_scale() -> None:
    columns = np.array([0, 1, 2, 3])
    items, moved = BOOST.apply(columns, np.array([3.0, -np.inf, 1.0, -np.inf]), fresh((3, 1.0)))
    assert items.tolist() == [4, 0, 2, 1, 3]
    assert moved == pytest.approx([2.0 * (1 - np.exp(-1.0)), 1.0, 0.0, -np.inf, -np.inf])


def test_a_list_of_blocked_items_gets_the_boosted_items_in_front() -> None:
    items, moved = BOOST.apply(np.array([1, 3]), np.full(2, -np.inf), fresh((3, 1.0)))
    assert items.tolist() == [4, 1, 3]
    assert moved == pytest.approx([2.0 * (1 - np.exp(-1.0)), -np.inf, -np.inf])


def test_an_empty_list_becomes_the_boosted_items() -> None:
    items, _ = BOOST.apply(np.zeros(0, np.int64), np.zeros(0), fresh((3, 1.0)))
    assert sorted(items.tolist()) == [3, 4]


@given(st.lists(st.integers(0, 4), unique=True), st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), max_size=6))
def test_result_is_a_superset_in_order_of_score(listed: list[int], events: list[tuple[int, float]]) -> None:
    columns, scores = np.array(listed, dtype=np.int64), np.arange(len(listed), 0, -1.0)
    items, moved = BOOST.apply(columns, scores, fresh(*events))
    assert len(set(items.tolist())) == len(items)
    assert set(listed) <= set(items.tolist())
    assert (np.diff(moved) <= 0).all()
