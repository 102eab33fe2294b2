"""The ladder: who ranks a list, and who does when they cannot. blend or fold -> cf -> tier_prior -> popularity.

A rung that raises is told of and counted, and the next one answers: a failing model makes a list poorer, never an
error. The lower rungs know the whole catalogue, and so also fill a list of which rules have left too little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.recommend.user import RequestUser, split
from services.rules import RankedOrder
from services.tenants.served_model import ServedModel
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

DEPTH = 500
_EMPTY = RankedOrder(np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class RankingStrategy:
    """One way to rank. rank gives its best DEPTH items among those allowed [I'], or nothing where it cannot help."""

    path: str
    rank: Callable[[BoolArray | None], RankedOrder]


@dataclass(frozen=True)
class StrategyResult:
    """What the ladder gave. reason: why an earlier rung, `wanted`, did not answer; empty where the first one did."""

    path: str
    order: RankedOrder
    wanted: str
    reason: str


class FallbackChain:
    """The rungs for one person and task on one model."""

    def __init__(self, model: ServedModel, person: RequestUser, task: str) -> None:
        self.model, self.person, self.task = model, person, task

    def rungs(self) -> list[RankingStrategy]:
        """For a list of products, best first."""
        lower = [
            RankingStrategy("cf", self._collaborative),
            RankingStrategy("tier_prior", self._tier_prior),
            RankingStrategy("popularity", self._popularity),
        ]
        if self.person.is_new:
            return [RankingStrategy("cold", self._popularity), *lower[1:]]
        if self.person.row is None and self.person.visit:
            return [RankingStrategy("blend", self._visitor), *lower]
        if len(self.person.fresh.columns):
            return [RankingStrategy("fold", self._folded), *lower]
        return [RankingStrategy("blend", self._shelf), *lower]

    def _shelf(self, allowed: BoolArray | None) -> RankedOrder:
        """The blend's list as it was precomputed, with posted items where their content puts them."""
        columns, scores = self.model.pack.shelves[self.task].row(self._row)
        return self._without_met(keep(self._with_posted(columns, scores), allowed))

    def _folded(self, allowed: BoolArray | None) -> RankedOrder:
        """The same, moved by what the person did since."""
        order = _EMPTY
        if self.person.row is not None:
            order = self._with_posted(*self.model.pack.shelves[self.task].row(self.person.row))
        moved = RankedOrder(*self.model.fold.apply(order.columns, order.scores, self.person.fresh))
        return self._without_met(keep(moved, allowed))

    def _visitor(self, allowed: BoolArray | None) -> RankedOrder:
        """All models and the blend, now: for somebody who has no list yet."""
        bundle = self.model.bundle
        history = bundle.visitor(*split(self.person.visit))
        ranked = bundle.recommend(self.task, history, DEPTH)
        found = ranked.items[0] >= 0
        order = RankedOrder(ranked.items[0][found].astype(np.int64), ranked.scores[0][found])
        fresh = self.person.fresh
        if len(fresh.columns):
            order = RankedOrder(*self.model.fold.apply(order.columns, order.scores, fresh))
        return keep(order, allowed)

    def _collaborative(self, allowed: BoolArray | None) -> RankedOrder:
        """Products of factors over the whole catalogue."""
        taste = self.taste()
        if not taste.any():
            return _EMPTY
        return self._without_met(best(self.model.factors @ taste, allowed))

    def _tier_prior(self, allowed: BoolArray | None) -> RankedOrder:
        return self._without_met(best(self.model.prior_of(self.person.tier), allowed))

    def _popularity(self, allowed: BoolArray | None) -> RankedOrder:
        return self._without_met(best(self.model.popularity, allowed))

    def reranked(self, columns: IntArray) -> RankedOrder:
        """These columns [C] in the blend's order; nothing of somebody of whom it knows nothing."""
        model, person = self.model, self.person
        trained = columns[columns < model.num_trained]
        if not len(trained) or (person.row is None and not person.visit):
            return _EMPTY
        scores = model.rerank(self.task, person.row, split(person.visit), trained)
        order = sorted_order(trained, scores)
        if len(person.fresh.columns):
            order = RankedOrder(*model.fold.apply(order.columns, order.scores, person.fresh))
            order = keep(order, np.isin(np.arange(len(model.factors)), columns))
        return order

    def taste(self) -> FloatArray:
        """The person's factors: those of the model, and the items of a visit and of fresh events, [F]."""
        model, person = self.model, self.person
        columns = model.catalogue.columns([item for item, _ in person.visit])
        taste = model.factors[columns].sum(axis=0)
        taste = taste + person.fresh.weights @ model.factors[person.fresh.columns]
        known: FloatArray = taste if person.row is None else taste + model.pack.people.factors[person.row]
        return known

    @property
    def _row(self) -> int:
        if self.person.row is None:
            raise LookupError("the model has no row for this person")
        return self.person.row

    def _with_posted(self, columns: IntArray, scores: FloatArray) -> RankedOrder:
        """Posted items join where an item of the list with as strong a match of factors stands."""
        model = self.model
        first = model.num_trained
        if len(model.factors) == first or not len(columns) or self.person.row is None:
            return RankedOrder(columns, scores)
        taste = model.pack.people.factors[self.person.row]
        listed, posted = model.factors[columns] @ taste, model.factors[first:] @ taste
        place = np.searchsorted(np.sort(listed), posted, side="right") / len(columns)
        joined = np.quantile(scores, place.clip(0, 1))
        kept = np.flatnonzero(posted > 0)
        return sorted_order(np.concatenate([columns, kept + first]), np.concatenate([scores, joined[kept]]))

    def _without_met(self, order: RankedOrder) -> RankedOrder:
        """Discovery shows nothing that the person met before."""
        if self.task != "discovery":
            return order
        visited = self.model.catalogue.columns([item for item, _ in self.person.visit])
        met = [self.person.fresh.columns, visited]
        if self.person.row is not None:
            met.append(self.model.pack.met.row(self.person.row))
        new = ~np.isin(order.columns, np.concatenate(met))
        return RankedOrder(order.columns[new], order.scores[new])


def climb(
    rungs: Sequence[RankingStrategy],
    allowed: BoolArray | None,
    num_items: int,
    failed: Callable[[str, str, str], None],
) -> StrategyResult:
    """The first rung that gives something; `failed` is told, while the error is at hand, of each that raised.

    num_items: of the catalogue that the rungs rank
    """
    reason = ""
    for place, rung in enumerate(rungs):
        try:
            order = _checked(rung.rank(allowed), num_items)
        except Exception as error:  # whatever a model does, the next rung answers
            reason = reason or f"{rung.path} failed: {type(error).__name__}"
            failed(rung.path, rungs[min(place + 1, len(rungs) - 1)].path, type(error).__name__)
            continue
        if len(order.columns):
            return StrategyResult(rung.path, order, rungs[0].path, reason)
        reason = reason or f"{rung.path} has nothing for this request"
    return StrategyResult(rungs[-1].path, _EMPTY, rungs[0].path, reason)


def filled(
    climbed: StrategyResult,
    rungs: Sequence[RankingStrategy],
    wanted: int,
    allowed: BoolArray | None,
    num_items: int,
    failed: Callable[[str, str, str], None],
) -> RankedOrder:
    """The order, and behind it what the rungs below would show, until `wanted` items are there or nothing is left."""
    order, lower = climbed.order, _below(rungs, climbed.path)
    while lower and len(order.columns) < wanted:
        more = climb(lower, allowed, num_items, failed)
        lower = _below(lower, more.path)
        new = more.order.columns[~np.isin(more.order.columns, order.columns)]
        floor = float(order.scores[-1]) if len(order.scores) else 0.0
        behind = floor - np.arange(1, len(new) + 1) * 1e-6
        order = RankedOrder(np.concatenate([order.columns, new]), np.concatenate([order.scores, behind]))
    return order


def best(scores: FloatArray, allowed: BoolArray | None) -> RankedOrder:
    """The DEPTH best of all items [I'] that are allowed, equals by column; without those whose score is no number.

    Raises FloatingPointError when none is a number.
    """
    if len(scores) and np.isnan(scores).all():
        raise FloatingPointError("no score is a number")
    usable = scores if allowed is None else np.where(allowed, scores, -np.inf)
    count = min(DEPTH, len(usable))
    columns = np.argpartition(-usable, count - 1)[:count] if count < len(usable) else np.arange(count)
    columns = columns[usable[columns] > -np.inf]
    return sorted_order(columns, usable[columns])


def _below(rungs: Sequence[RankingStrategy], path: str) -> Sequence[RankingStrategy]:
    """The rungs under one of them."""
    return rungs[[rung.path for rung in rungs].index(path) + 1 :]


def _checked(order: RankedOrder, num_items: int) -> RankedOrder:
    """The order. Raises IndexError or FloatingPointError for one of which no page can be made."""
    columns = order.columns
    if len(columns) and (columns.min() < 0 or columns.max() >= num_items):
        raise IndexError("ranks what is not in the catalogue")
    if not np.isfinite(order.scores).all():
        raise FloatingPointError("has scores that are no numbers")
    return order


def keep(order: RankedOrder, allowed: BoolArray | None) -> RankedOrder:
    """Only what is allowed."""
    if allowed is None:
        return order
    kept = allowed[order.columns]
    return order if kept.all() else RankedOrder(order.columns[kept], order.scores[kept])


def sorted_order(columns: IntArray, scores: FloatArray) -> RankedOrder:
    """Best first, equals by column."""
    order = np.lexsort((columns, -scores))
    return RankedOrder(columns[order], scores[order])
