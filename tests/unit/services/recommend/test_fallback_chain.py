"""The fallback chain against orders worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.recommend import fallback_chain as chain
from services.rules import RankedOrder
from tierrec_core.base.contracts import BoolArray

NUM_ITEMS = 8


def order_of(*columns: int) -> RankedOrder:
    return RankedOrder(np.array(columns, np.int64), -np.arange(len(columns), dtype=float))


def strategy(name: str, *columns: int) -> chain.RankingStrategy:
    return chain.RankingStrategy(name, lambda allowed: chain.keep_allowed(order_of(*columns), allowed))


def failing(name: str, error: Exception) -> chain.RankingStrategy:
    def rank(_: BoolArray | None) -> RankedOrder:
        raise error

    return chain.RankingStrategy(name, rank)


class FailureLog:
    """Records the failures that are reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, str]] = []

    def __call__(self, name: str, following: str, kind: str) -> None:
        self.steps.append((name, following, kind))


@pytest.fixture
def failures() -> FailureLog:
    return FailureLog()


def test_the_first_strategy_ranks(failures: FailureLog) -> None:
    result = chain.first_successful([strategy("blend", 3, 1), strategy("cf", 2)], None, NUM_ITEMS, failures)
    assert (result.strategy, result.first_choice, result.reason) == ("blend", "blend", "")
    assert result.order.columns.tolist() == [3, 1]
    assert failures.steps == []


def test_exceptions_are_reported_and_empty_orders_are_not(failures: FailureLog) -> None:
    blend, prior = failing("blend", KeyError("x")), failing("tier_prior", ValueError())
    strategies = [blend, strategy("cf"), prior, strategy("popularity", 5)]
    result = chain.first_successful(strategies, None, NUM_ITEMS, failures)
    assert (result.strategy, result.first_choice, result.reason) == ("popularity", "blend", "blend failed: KeyError")
    assert failures.steps == [("blend", "cf", "KeyError"), ("tier_prior", "popularity", "ValueError")]


def test_an_exhausted_chain_gives_an_empty_order_and_the_reason(failures: FailureLog) -> None:
    result = chain.first_successful([strategy("blend"), strategy("popularity")], None, NUM_ITEMS, failures)
    assert len(result.order.columns) == 0
    assert (result.strategy, result.reason) == ("popularity", "blend has nothing for this request")


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
def test_an_invalid_order_is_a_failure(failures: FailureLog, change: Callable[[RankedOrder], RankedOrder]) -> None:
    unsound = chain.RankingStrategy("blend", lambda _: change(order_of(3, 1)))
    result = chain.first_successful([unsound, strategy("cf", 2)], None, NUM_ITEMS, failures)
    assert result.strategy == "cf"
    assert [step[:2] for step in failures.steps] == [("blend", "cf")]


def test_a_list_is_filled_from_fallbacks_and_each_strategy_runs_once(failures: FailureLog) -> None:
    ran: list[str] = []

    def recorded(one: chain.RankingStrategy) -> chain.RankingStrategy:
        def rank(allowed: BoolArray | None) -> RankedOrder:
            ran.append(one.name)
            return one.rank(allowed)

        return chain.RankingStrategy(one.name, rank)

    first = failing("blend", ValueError()), strategy("fold", 3, 1), failing("cf", KeyError("x"))
    last = strategy("tier_prior", 1, 4), strategy("popularity", 0, 3, 6, 7)
    strategies = [recorded(one) for one in (*first, *last)]
    result = chain.first_successful(strategies, None, NUM_ITEMS, failures)
    order = chain.fill_from_fallbacks(result, strategies, 5, None, NUM_ITEMS, failures)
    assert order.columns.tolist() == [3, 1, 4, 0, 6, 7]
    assert (np.diff(order.scores) < 0).all()
    assert ran == ["blend", "fold", "cf", "tier_prior", "popularity"]
    assert failures.steps == [("blend", "fold", "ValueError"), ("cf", "tier_prior", "KeyError")]


def test_a_list_that_is_long_enough_is_unchanged(failures: FailureLog) -> None:
    strategies = [strategy("blend", 3, 1), failing("cf", ValueError())]
    result = chain.first_successful(strategies, None, NUM_ITEMS, failures)
    assert chain.fill_from_fallbacks(result, strategies, 2, None, NUM_ITEMS, failures) is result.order
    assert failures.steps == []


def test_nothing_is_filled_in_that_is_not_allowed(failures: FailureLog) -> None:
    allowed = np.arange(NUM_ITEMS) % 2 == 0
    strategies = [strategy("blend", 4, 3), strategy("popularity", *range(NUM_ITEMS))]
    result = chain.first_successful(strategies, allowed, NUM_ITEMS, failures)
    order = chain.fill_from_fallbacks(result, strategies, 100, allowed, NUM_ITEMS, failures)
    assert order.columns.tolist() == [4, 0, 2, 6]


@given(
    scores=arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan])),
    seed=st.none() | st.integers(0, 99),
)
def test_top_items_are_the_highest_of_the_allowed(scores: np.ndarray, seed: int | None) -> None:
    allowed = None if seed is None else np.random.default_rng(seed).random(len(scores)) < 0.5
    may = [column for column in range(len(scores)) if allowed is None or allowed[column]]
    if np.isnan(scores).all():
        with pytest.raises(FloatingPointError):
            chain.top_items(scores, allowed)
        return
    order = chain.top_items(scores, allowed)
    by_hand = sorted((one for one in may if not np.isnan(scores[one])), key=lambda one: (-scores[one], one))
    assert order.columns.tolist() == by_hand
    assert order.scores.tolist() == scores[by_hand].tolist()


def test_of_many_items_only_the_best_are_kept() -> None:
    scores = np.random.default_rng(0).permutation(3 * chain.MAX_CANDIDATES).astype(float)
    order = chain.top_items(scores, None)
    assert order.columns.tolist() == np.argsort(-scores)[: chain.MAX_CANDIDATES].tolist()
    assert len(chain.top_items(np.zeros(0), None).columns) == 0
