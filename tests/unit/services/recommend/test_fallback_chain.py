"""The ladder's own arithmetic against orders worked out by hand: who answers, what fills a list, what is best."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.recommend.fallback_chain import DEPTH, RankingStrategy, best, climb, filled, keep
from services.rules import RankedOrder
from tierrec_core.base.contracts import BoolArray

NUM_ITEMS = 8


def order_of(*columns: int) -> RankedOrder:
    return RankedOrder(np.array(columns, np.int64), -np.arange(len(columns), dtype=float))


def rung(path: str, *columns: int) -> RankingStrategy:
    return RankingStrategy(path, lambda allowed: keep(order_of(*columns), allowed))


def failing(path: str, error: Exception) -> RankingStrategy:
    def rank(_: BoolArray | None) -> RankedOrder:
        raise error

    return RankingStrategy(path, rank)


class Told:
    """Remembers the steps that it is told of."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, str]] = []

    def __call__(self, path: str, following: str, kind: str) -> None:
        self.steps.append((path, following, kind))


def unsound(change: Callable[[RankedOrder], RankedOrder]) -> RankingStrategy:
    return RankingStrategy("blend", lambda _: change(order_of(3, 1)))


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_first_rung_answers(told: Told) -> None:
    climbed = climb([rung("blend", 3, 1), rung("cf", 2)], None, NUM_ITEMS, told)
    assert (climbed.path, climbed.wanted, climbed.reason) == ("blend", "blend", "")
    assert climbed.order.columns.tolist() == [3, 1]
    assert told.steps == []


def test_what_raises_is_told_and_what_is_empty_is_not(told: Told) -> None:
    rungs = [
        failing("blend", KeyError("x")),
        rung("cf"),
        failing("tier_prior", ValueError()),
        rung("popularity", 5),
    ]
    climbed = climb(rungs, None, NUM_ITEMS, told)
    assert (climbed.path, climbed.wanted, climbed.reason) == ("popularity", "blend", "blend failed: KeyError")
    assert told.steps == [("blend", "cf", "KeyError"), ("tier_prior", "popularity", "ValueError")]


def test_an_empty_ladder_end_says_so(told: Told) -> None:
    climbed = climb([rung("blend"), rung("popularity")], None, NUM_ITEMS, told)
    assert len(climbed.order.columns) == 0
    assert (climbed.path, climbed.reason) == ("popularity", "blend has nothing for this request")


@pytest.mark.parametrize(
    "change",
    [
        lambda order: RankedOrder(order.columns + NUM_ITEMS, order.scores),
        lambda order: RankedOrder(order.columns - 2, order.scores),
        lambda order: RankedOrder(order.columns, order.scores * np.nan),
        lambda order: RankedOrder(order.columns, order.scores - np.inf),
    ],
    ids=["beyond the catalogue", "before it", "no numbers", "endless"],
)
def test_an_order_that_makes_no_page_is_a_failure(
    told: Told, change: Callable[[RankedOrder], RankedOrder]
) -> None:
    climbed = climb([unsound(change), rung("cf", 2)], None, NUM_ITEMS, told)
    assert climbed.path == "cf"
    assert [step[:2] for step in told.steps] == [("blend", "cf")]


def test_a_list_is_filled_from_below_and_each_rung_is_asked_once(told: Told) -> None:
    asked: list[str] = []

    def counted(one: RankingStrategy) -> RankingStrategy:
        def rank(allowed: BoolArray | None) -> RankedOrder:
            asked.append(one.path)
            return one.rank(allowed)

        return RankingStrategy(one.path, rank)

    rungs = [
        counted(one)
        for one in (
            failing("blend", ValueError()),
            rung("fold", 3, 1),
            failing("cf", KeyError("x")),
            rung("tier_prior", 1, 4),
            rung("popularity", 0, 3, 6, 7),
        )
    ]
    climbed = climb(rungs, None, NUM_ITEMS, told)
    order = filled(climbed, rungs, 5, None, NUM_ITEMS, told)
    assert order.columns.tolist() == [3, 1, 4, 0, 6, 7]
    assert (np.diff(order.scores) < 0).all()
    assert asked == ["blend", "fold", "cf", "tier_prior", "popularity"]
    assert told.steps == [("blend", "fold", "ValueError"), ("cf", "tier_prior", "KeyError")]


def test_a_list_that_is_long_enough_is_left_alone(told: Told) -> None:
    rungs = [rung("blend", 3, 1), failing("cf", ValueError())]
    climbed = climb(rungs, None, NUM_ITEMS, told)
    assert filled(climbed, rungs, 2, None, NUM_ITEMS, told) is climbed.order
    assert told.steps == []


def test_nothing_is_filled_in_that_is_not_allowed(told: Told) -> None:
    allowed = np.arange(NUM_ITEMS) % 2 == 0
    rungs = [rung("blend", 4, 3), rung("popularity", *range(NUM_ITEMS))]
    climbed = climb(rungs, allowed, NUM_ITEMS, told)
    assert filled(climbed, rungs, 100, allowed, NUM_ITEMS, told).columns.tolist() == [4, 0, 2, 6]


@given(
    scores=arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan])),
    seed=st.none() | st.integers(0, 99),
)
def test_the_best_are_the_highest_of_the_allowed(scores: np.ndarray, seed: int | None) -> None:
    allowed = None if seed is None else np.random.default_rng(seed).random(len(scores)) < 0.5
    may = [column for column in range(len(scores)) if allowed is None or allowed[column]]
    if np.isnan(scores).all():
        with pytest.raises(FloatingPointError):
            best(scores, allowed)
        return
    found = best(scores, allowed)
    by_hand = sorted((one for one in may if not np.isnan(scores[one])), key=lambda one: (-scores[one], one))
    assert found.columns.tolist() == by_hand
    assert found.scores.tolist() == scores[by_hand].tolist()


def test_of_many_items_the_deepest_are_left_out() -> None:
    scores = np.random.default_rng(0).permutation(3 * DEPTH).astype(float)
    found = best(scores, None)
    assert found.columns.tolist() == np.argsort(-scores)[:DEPTH].tolist()
    assert len(best(np.zeros(0), None).columns) == 0
