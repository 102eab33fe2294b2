"""Turns a list request into a page: user, model, allowed items, ranking, rules and paging, for every surface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from services.catalogue import page_cursor
from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from services.experiments import Assignment
from services.recommend.fallback_chain import (
    RankingStrategy,
    StrategyResult,
    fill_from_fallbacks,
    first_successful,
    sort_by_score,
)
from services.recommend.user import RequestUser, resolve_user
from services.rules import RankedOrder, Situation
from services.tenants.configuration import Configuration
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop
from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.bundle.repurchase import suppressed_items

_NO_COLUMNS = np.zeros(0, np.int64)
_HIDE_RECENT_PURCHASES = ("products", "ads", "onboarding")
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class ListRequest:
    """What the requests of all surfaces have in common."""

    surface: str
    k: int
    user_id: str | None = None
    session_items: tuple[str, ...] = ()
    basket: tuple[str, ...] = ()
    attributes: Mapping[str, Any] | None = None
    exclude: tuple[str, ...] = ()
    filter: str | None = None
    cursor: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class RequestContext:
    """Everything that determines one list, as of its start. shown: hashes of the items on earlier pages."""

    shop: Shop
    configuration: Configuration
    request: ListRequest
    model: ServedModel
    assignment: Assignment
    user: RequestUser
    task: str
    now: datetime
    shown: IntArray | None = None

    @classmethod
    def of(cls, shop: Shop, request: ListRequest) -> "RequestContext":
        """Resolve experiment, model, task and user from the shop's current state; see `Shop.refresh`.

        Raises DataError for a task that is not served and for an invalid cursor.
        """
        now = datetime.now(UTC)
        configuration = shop.configuration.now
        assignment = configuration.experiments.assign(request.user_id, request.surface, now)
        model = shop.model_for(request.user_id, assignment.overrides.release)
        task = request.task or assignment.overrides.task or model.release.default_task
        if task not in model.precomputed.ranked_lists:
            raise DataError(f"task: {task!r} is not served; wanted one of {', '.join(model.precomputed.ranked_lists)}")
        user = resolve_user(
            model, shop.activity, request.user_id, request.session_items, request.basket, request.attributes
        )
        shown = page_cursor.decode(request.cursor) if request.cursor else None
        return cls(shop, configuration, request, model, assignment, user, task, now, shown)

    def record_failure(self, strategy: str, following: str, kind: str) -> None:
        """Count and log the exception that is being handled."""
        self.shop.metrics.count_fallback(self.request.surface, strategy, following, kind)
        self.shop.request_log.failure(
            None, self.request.user_id, strategy=strategy, following=following, model=self.model.release.model_version
        )


@dataclass(frozen=True)
class ResultPage:
    """The items to show, best first, and how they were ranked."""

    order: RankedOrder
    result: StrategyResult
    cursor: str | None


def build_page(
    context: RequestContext,
    strategies: Sequence[RankingStrategy],
    *,
    only: BoolArray | None = None,
    catalogue: Catalogue | None = None,
) -> ResultPage:
    """Rank the allowed items, fill up from the fallbacks, apply the rules, and cut a page.

    only: None, or the only items allowed, [I']; catalogue: None for the model's items
    """
    request, model = context.request, context.model
    is_items = catalogue is None
    catalogue = catalogue or model.catalogue
    hashes = model.hashes if is_items else page_cursor.hash_ids(catalogue.frame["item_id"])
    shown = _NO_COLUMNS if context.shown is None else np.flatnonzero(np.isin(hashes, context.shown))
    situation = Situation(request.surface, context.user.tier, context.user.attributes, context.now, request.k, shown)
    allowed = _exclude(context, catalogue, _allowed(context, catalogue, situation, only), shown)
    result = first_successful(strategies, allowed, len(catalogue), context.record_failure)
    order = fill_from_fallbacks(result, strategies, request.k, allowed, len(catalogue), context.record_failure)
    if is_items:
        order = _apply_variant_policy(context, order)
    page = context.configuration.rules.apply(order, situation, catalogue, allowed)
    return ResultPage(page, result, _next_cursor(context, hashes[page.columns]))


def _allowed(
    context: RequestContext, catalogue: Catalogue, situation: Situation, only: BoolArray | None
) -> BoolArray | None:
    """Items that rules, filter and review allow, [I']; None if all are."""
    configuration = context.configuration
    masks = [configuration.rules.allowed(catalogue, situation), only]
    if context.request.filter is not None:
        masks.append(catalogue.mask(Expression.parse(context.request.filter)))
    masks.append(configuration.review.allowed(catalogue))
    restrictions = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(restrictions) if restrictions else None


def _exclude(
    context: RequestContext, catalogue: Catalogue, allowed: BoolArray | None, shown: IntArray
) -> BoolArray | None:
    """Remove exclusions, the cart, earlier pages, deleted and blocked items and recent purchases from the allowed."""
    request = context.request
    excluded = [*request.exclude, *request.basket]
    columns = catalogue.columns(excluded) if excluded else _NO_COLUMNS
    hidden = _hidden(context) if catalogue is context.model.catalogue else _NO_COLUMNS
    if len(catalogue.deleted):
        hidden = np.concatenate([hidden, catalogue.deleted])
    if not len(columns) and not len(hidden) and not len(shown):
        return allowed
    remaining = np.ones(len(catalogue), bool) if allowed is None else allowed.copy()
    remaining[np.concatenate([columns[columns >= 0], hidden, shown])] = False
    return remaining


def _hidden(context: RequestContext) -> IntArray:
    """Items that params.yaml blocks and, on surfaces where the client names no item, recent purchases, [S]."""
    blocked: IntArray = context.model.precomputed.item_tables.blocked
    if context.request.surface not in _HIDE_RECENT_PURCHASES:
        return blocked
    return np.concatenate([blocked, _recently_purchased(context)])


def _recently_purchased(context: RequestContext) -> IntArray:
    """Purchases whose repurchase interval has not passed, [S].

    Purchases since the model was fitted are hidden for the learned interval. Earlier ones, which the blend accounts
    for, are hidden only if rules.yaml has a rule for their category.
    """
    model, user, repeat = context.model, context.user, context.configuration.rules.repeat
    if not user.purchases and (not repeat or user.row is None):
        return _NO_COLUMNS
    columns = model.catalogue.columns([item for item, _ in user.purchases])
    days = np.array([(context.now - at).total_seconds() for _, at in user.purchases]) / _DAY_SECONDS
    intervals = model.repurchase_days(repeat)
    hidden = suppressed_items(intervals, columns[columns >= 0], days[columns >= 0])
    if repeat and user.row is not None:
        purchased, day = model.precomputed.last_purchases.row(user.row)
        has_rule = model.catalogue.frame["category"].iloc[purchased].isin(list(repeat)).to_numpy(dtype=bool)
        age = context.now.timestamp() / _DAY_SECONDS - day
        hidden = np.union1d(hidden, suppressed_items(intervals, purchased[has_rule], age[has_rule]))
    return hidden


def _apply_variant_policy(context: RequestContext, order: RankedOrder) -> RankedOrder:
    novelty, cap = context.assignment.overrides.novelty, context.assignment.overrides.max_per_category
    if novelty and len(order.columns):
        obscurity = context.model.obscurity[order.columns]
        order = sort_by_score(order.columns, order.scores + novelty * order.scores.std() * obscurity)
    if cap:
        category = pd.Series(context.model.categories[order.columns])
        order = order.take((category.groupby(category).cumcount() < cap).to_numpy())
    return order


def _next_cursor(context: RequestContext, page: IntArray) -> str | None:
    """The cursor of the next page, from the hashes of this one; None if this page is empty or not full."""
    if len(page) < max(context.request.k, 1):
        return None
    shown = page if context.shown is None else np.concatenate([context.shown, page])
    return page_cursor.encode(shown) or None
