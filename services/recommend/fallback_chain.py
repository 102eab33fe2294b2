"""Fallback chain of ranking strategies: blend or fold -> cf -> tier_prior -> popularity.

A strategy that raises is logged and counted, and the next one ranks instead: a failing model degrades a list and never
causes an error. The later strategies score the whole catalogue, so they also fill lists that rules have made too short.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.recommend.user import RequestUser, history_of
from services.rules import RankedOrder
from services.tenants.served_model import ServedModel
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

MAX_CANDIDATES = 500
_EMPTY = RankedOrder(np.zeros(0, np.int64), np.zeros(0))

FailureCallback = Callable[[str, str, str], None]  # failing strategy, next strategy, exception type


@dataclass(frozen=True)
class RankingStrategy:
    """One way to rank: its best MAX_CANDIDATES among the allowed items [I'], or an empty order if it has none."""

    name: str
    rank: Callable[[BoolArray | None], RankedOrder]


@dataclass(frozen=True)
class StrategyResult:
    """The order, and the strategy that ranked it. reason: why `first_choice` did not; empty if it did."""

    strategy: str
    order: RankedOrder
    first_choice: str
    reason: str


class FallbackChain:
    """The strategies for one user and task on one model."""

    def __init__(self, model: ServedModel, user: RequestUser, task: str) -> None:
        self.model, self.user, self.task = model, user, task

    def strategies(self) -> list[RankingStrategy]:
        """Strategies for a list of products, best first."""
        fallbacks = [
            RankingStrategy("cf", self._by_factors),
            RankingStrategy("tier_prior", self._by_tier_prior),
            RankingStrategy("popularity", self._by_popularity),
        ]
        if self.user.is_new:
            return [RankingStrategy("cold", self._by_popularity), *fallbacks[1:]]
        if self.user.row is None and self.user.session_items:
            return [RankingStrategy("blend", self._by_all_models), *fallbacks]
        if len(self.user.fresh.columns):
            return [RankingStrategy("fold", self._boosted), *fallbacks]
        return [RankingStrategy("blend", self._precomputed), *fallbacks]

    def rerank(self, columns: IntArray) -> RankedOrder:
        """Sort these columns [C] by the blend; empty for a user without history."""
        model, user = self.model, self.user
        trained = columns[columns < model.num_trained]
        if not len(trained) or (user.row is None and not user.session_items):
            return _EMPTY
        state = None if user.row is None else model.precomputed.user_states.row(user.row)
        scores = model.bundle.rerank(self.task, history_of(model, user), trained, state)
        order = sort_by_score(trained, scores)
        if len(user.fresh.columns):
            order = keep_allowed(self._boost(order), np.isin(np.arange(len(model.factors)), columns))
        return order

    def user_factors(self) -> FloatArray:
        """The user's factors: those of the model plus those of session items and fresh events, [F]."""
        model, user = self.model, self.user
        columns = model.catalogue.columns([item for item, _ in user.session_items])
        factors = model.factors[columns].sum(axis=0)
        factors = factors + user.fresh.weights @ model.factors[user.fresh.columns]
        total: FloatArray = factors if user.row is None else factors + model.precomputed.user_tables.factors[user.row]
        return total

    def _precomputed(self, allowed: BoolArray | None) -> RankedOrder:
        """The blend's precomputed list, with posted items inserted."""
        return self._exclude_seen(keep_allowed(self._precomputed_with_posted(), allowed))

    def _boosted(self, allowed: BoolArray | None) -> RankedOrder:
        """The precomputed list re-ranked by the user's fresh events."""
        order = _EMPTY if self.user.row is None else self._precomputed_with_posted()
        return self._exclude_seen(keep_allowed(self._boost(order), allowed))

    def _by_all_models(self, allowed: BoolArray | None) -> RankedOrder:
        """Score with all models and the blend at request time, for a user without a precomputed list."""
        ranked = self.model.bundle.recommend(self.task, history_of(self.model, self.user), MAX_CANDIDATES)
        is_item = ranked.items[0] >= 0
        order = RankedOrder(ranked.items[0][is_item].astype(np.int64), ranked.scores[0][is_item])
        if len(self.user.fresh.columns):
            order = self._boost(order)
        return keep_allowed(order, allowed)

    def _by_factors(self, allowed: BoolArray | None) -> RankedOrder:
        """Dot products of user and item factors over the whole catalogue."""
        factors = self.user_factors()
        if not factors.any():
            return _EMPTY
        return self._exclude_seen(top_items(self.model.factors @ factors, allowed))

    def _by_tier_prior(self, allowed: BoolArray | None) -> RankedOrder:
        return self._exclude_seen(top_items(self.model.tier_prior(self.user.tier), allowed))

    def _by_popularity(self, allowed: BoolArray | None) -> RankedOrder:
        return self._exclude_seen(top_items(self.model.popularity, allowed))

    def _boost(self, order: RankedOrder) -> RankedOrder:
        return RankedOrder(*self.model.session_boost.apply(order.columns, order.scores, self.user.fresh))

    def _precomputed_with_posted(self) -> RankedOrder:
        """The precomputed list; a posted item gets the score of the listed item at the same quantile of affinity."""
        model, row = self.model, self.user.row
        if row is None:
            raise LookupError("the model has no row for this user")
        columns, scores = model.precomputed.ranked_lists[self.task].row(row)
        num_trained = model.num_trained
        if len(model.factors) == num_trained or not len(columns):
            return RankedOrder(columns, scores)
        factors = model.precomputed.user_tables.factors[row]
        listed, posted = model.factors[columns] @ factors, model.factors[num_trained:] @ factors
        quantile = np.searchsorted(np.sort(listed), posted, side="right") / len(columns)
        posted_scores = np.quantile(scores, quantile.clip(0, 1))
        inserted = np.flatnonzero(posted > 0)
        return sort_by_score(
            np.concatenate([columns, inserted + num_trained]), np.concatenate([scores, posted_scores[inserted]])
        )

    def _exclude_seen(self, order: RankedOrder) -> RankedOrder:
        """Remove items that the user interacted with before, for tasks without repeats only."""
        if self.model.task_configs[self.task].repeats:
            return order
        session = self.model.catalogue.columns([item for item, _ in self.user.session_items])
        seen = [self.user.fresh.columns, session]
        if self.user.row is not None:
            seen.append(self.model.precomputed.seen_items.row(self.user.row))
        return order.take(~np.isin(order.columns, np.concatenate(seen)))


def first_successful(
    strategies: Sequence[RankingStrategy], allowed: BoolArray | None, num_items: int, on_failure: FailureCallback
) -> StrategyResult:
    """The result of the first strategy that ranks anything.

    num_items: size of the catalogue that the strategies rank
    on_failure: called for each strategy that raises, while its exception is being handled
    """
    reason = ""
    for position, strategy in enumerate(strategies):
        try:
            order = _validated(strategy.rank(allowed), num_items)
        except Exception as error:  # after any error of a model, the next strategy ranks
            kind = type(error).__name__
            reason = reason or f"{strategy.name} failed: {kind}"
            on_failure(strategy.name, strategies[min(position + 1, len(strategies) - 1)].name, kind)
            continue
        if len(order.columns):
            return StrategyResult(strategy.name, order, strategies[0].name, reason)
        reason = reason or f"{strategy.name} has nothing for this request"
    return StrategyResult(strategies[-1].name, _EMPTY, strategies[0].name, reason)


def fill_from_fallbacks(
    result: StrategyResult,
    strategies: Sequence[RankingStrategy],
    k: int,
    allowed: BoolArray | None,
    num_items: int,
    on_failure: FailureCallback,
) -> RankedOrder:
    """Append items of the later strategies to the result's order until it has k items or none are left."""
    order, remaining = result.order, _after(strategies, result.strategy)
    while remaining and len(order.columns) < k:
        following = first_successful(remaining, allowed, num_items, on_failure)
        remaining = _after(remaining, following.strategy)
        new = following.order.columns[~np.isin(following.order.columns, order.columns)]
        lowest = float(order.scores[-1]) if len(order.scores) else 0.0
        scores = lowest - np.arange(1, len(new) + 1) * 1e-6
        order = RankedOrder(np.concatenate([order.columns, new]), np.concatenate([order.scores, scores]))
    return order


def top_items(scores: FloatArray, allowed: BoolArray | None) -> RankedOrder:
    """The best MAX_CANDIDATES allowed items by their scores [I'], ties by column; NaN scores are left out.

    Raises FloatingPointError if every score is NaN.
    """
    if len(scores) and np.isnan(scores).all():
        raise FloatingPointError("every score is NaN")
    usable = scores if allowed is None else np.where(allowed, scores, -np.inf)
    count = min(MAX_CANDIDATES, len(usable))
    columns = np.argpartition(-usable, count - 1)[:count] if count < len(usable) else np.arange(count)
    columns = columns[usable[columns] > -np.inf]
    return sort_by_score(columns, usable[columns])


def keep_allowed(order: RankedOrder, allowed: BoolArray | None) -> RankedOrder:
    """Drop items that are not allowed [I']; None allows all."""
    if allowed is None:
        return order
    is_allowed = allowed[order.columns]
    return order if is_allowed.all() else order.take(is_allowed)


def sort_by_score(columns: IntArray, scores: FloatArray) -> RankedOrder:
    """Sort by descending score, ties by column."""
    return RankedOrder(columns, scores).take(np.lexsort((columns, -scores)))


def _after(strategies: Sequence[RankingStrategy], name: str) -> Sequence[RankingStrategy]:
    return strategies[[strategy.name for strategy in strategies].index(name) + 1 :]


def _validated(order: RankedOrder, num_items: int) -> RankedOrder:
    """Raise IndexError for columns outside the catalogue and FloatingPointError for scores that are not finite."""
    columns = order.columns
    if len(columns) and (columns.min() < 0 or columns.max() >= num_items):
        raise IndexError("a ranked column is outside the catalogue")
    if not np.isfinite(order.scores).all():
        raise FloatingPointError("a score is not finite")
    return order
