"""From what is asked to what is shown: who asks, what may be shown, who ranks it, what the rules make of it.

The one module that joins the parts for every surface. It reads the shop, and changes nothing but counters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from services.catalogue import page_cursor as cursors
from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from services.experiments import Assignment
from services.recommend.fallback_chain import RankingStrategy, StrategyResult, climb, filled
from services.recommend.user import RequestUser, person_of
from services.rules import RankedOrder, Situation
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop
from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.bundle.repurchase import suppressed

_NO_COLUMNS = np.zeros(0, np.int64)
_REPEATS_MATTER = ("products", "ads", "onboarding")
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class ListRequest:
    """What all surfaces have in common, from whichever request; wanted is how many items."""

    surface: str
    wanted: int
    user_id: str | None = None
    visit: tuple[str, ...] = ()
    basket: tuple[str, ...] = ()
    attributes: Mapping[str, Any] | None = None
    exclude: tuple[str, ...] = ()
    filter: str | None = None
    cursor: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class RequestContext:
    """Everything that one answer hangs on. side: champion or challenger; seen: hashes of what earlier pages showed"""

    shop: Shop
    asked: ListRequest
    model: ServedModel
    side: str
    assignment: Assignment
    person: RequestUser
    task: str
    now: datetime
    seen: IntArray | None = None

    @classmethod
    def of(cls, shop: Shop, asked: ListRequest) -> "RequestContext":
        """Look at everything as it is now. Raises DataError for a task that is not served."""
        shop.refresh()
        now = datetime.now(UTC)
        assignment = shop.configuration.now.experiments.assign(asked.user_id, asked.surface, now)
        model, side = shop.model_for(asked.user_id, assignment.overrides.release)
        task = asked.task or assignment.overrides.task or model.release.default_task
        if task not in model.pack.shelves:
            served = ", ".join(model.pack.shelves)
            raise DataError(f"task: {task!r} is not served; wanted one of {served}")
        person = person_of(model, shop.live, asked.user_id, asked.visit, asked.basket, asked.attributes)
        seen = cursors.decode(asked.cursor) if asked.cursor else None
        return cls(shop, asked, model, side, assignment, person, task, now, seen)

    def situation(self, shown: IntArray = _NO_COLUMNS) -> Situation:
        """What the rules ask for; shown: columns on earlier pages."""
        return Situation(
            surface=self.asked.surface,
            tier=self.person.tier,
            user=self.person.attributes,
            now=self.now,
            k=self.asked.wanted,
            shown=shown,
        )

    def failed(self, path: str, following: str, kind: str) -> None:
        """A rung is raising, and the following one will be asked."""
        self.shop.metrics.fell_back(self.asked.surface, path, following, kind)
        version = self.model.release.model_version
        self.shop.journal.failure(None, self.asked.user_id, rung=path, following=following, model=version)


@dataclass(frozen=True)
class ResultPage:
    """What is to be shown, best first, and how it came to be."""

    order: RankedOrder
    climbed: StrategyResult
    cursor: str | None


def page_of(
    scene: RequestContext,
    rungs: Sequence[RankingStrategy],
    *,
    only: BoolArray | None = None,
    catalogue: Catalogue | None = None,
) -> ResultPage:
    """Climb the ladder among what may be shown, fill up from below, apply the rules, and cut a page.

    only: where given, no other items may be shown, [I']; catalogue: where the columns are not the model's
    """
    asked, goods = scene.asked, catalogue or scene.model.catalogue
    hashes = scene.model.hashes if goods is scene.model.catalogue else cursors.hashes(goods.frame["item_id"])
    shown = _NO_COLUMNS if scene.seen is None else np.flatnonzero(np.isin(hashes, scene.seen))
    situation = scene.situation(shown)
    allowed = _without(scene, goods, _allowed(scene, goods, situation, only), shown)
    climbed = climb(rungs, allowed, len(goods), scene.failed)
    order = filled(climbed, rungs, asked.wanted, allowed, len(goods), scene.failed)
    order = _with_overrides(scene, order) if goods is scene.model.catalogue else order
    page = scene.shop.configuration.now.rules.apply(order, situation, goods, allowed)
    return ResultPage(page, climbed, _next_cursor(scene, hashes[page.columns]))


def _allowed(
    scene: RequestContext, goods: Catalogue, situation: Situation, only: BoolArray | None
) -> BoolArray | None:
    """Which items may be shown, [I']; None where all may. The review has the last word."""
    configuration = scene.shop.configuration.now
    masks = [configuration.rules.allowed(goods, situation), only]
    if scene.asked.filter is not None:
        masks.append(Expression.parse(scene.asked.filter).mask(goods))
    masks.append(configuration.review.allowed(goods))
    given = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(given) if given else None


def _without(
    scene: RequestContext, goods: Catalogue, allowed: BoolArray | None, shown: IntArray
) -> BoolArray | None:
    """What is left when exclusions, the cart, earlier pages, and what was just bought are taken out."""
    asked = scene.asked
    dropped = goods.columns([*asked.exclude, *asked.basket]) if asked.exclude or asked.basket else _NO_COLUMNS
    hidden = _hidden(scene) if goods is scene.model.catalogue else _NO_COLUMNS
    if not len(dropped) and not len(hidden) and not len(shown):
        return allowed
    left = np.ones(len(goods.frame), bool) if allowed is None else allowed.copy()
    left[dropped[dropped >= 0]] = False
    left[hidden] = False
    left[shown] = False
    return left


def _hidden(scene: RequestContext) -> IntArray:
    """What params.yaml blocks and, on lists for which nobody named an item, what was just bought, [S]."""
    blocked: IntArray = scene.model.pack.facts.blocked
    if scene.asked.surface not in _REPEATS_MATTER:
        return blocked
    return np.concatenate([blocked, _just_bought(scene)])


def _just_bought(scene: RequestContext) -> IntArray:
    """What the person has taken and need not see again yet, [S].

    What they took since the model was made waits as learned; the blend knows what they took before, so that this
    waits only where rules.yaml says so.
    """
    model, person, repeat = scene.model, scene.person, scene.shop.configuration.now.rules.repeat
    if not person.bought and (not repeat or person.row is None):
        return _NO_COLUMNS
    columns = model.catalogue.columns([item for item, _ in person.bought])
    days = np.array([(scene.now - at).total_seconds() for _, at in person.bought]) / _DAY_SECONDS
    waits = model.waits(repeat)
    hidden = suppressed(waits, columns[columns >= 0], days[columns >= 0])
    if repeat and person.row is not None:
        known, day = model.pack.bought.row(person.row)
        named = model.catalogue.frame["category"].iloc[known].isin(list(repeat)).to_numpy(dtype=bool)
        age = scene.now.timestamp() / _DAY_SECONDS - day
        hidden = np.union1d(hidden, suppressed(waits, known[named], age[named]))
    return hidden


def _with_overrides(scene: RequestContext, order: RankedOrder) -> RankedOrder:
    """What a variant of an experiment changes of the policy."""
    novelty, cap = scene.assignment.overrides.novelty, scene.assignment.overrides.max_per_category
    if novelty and len(order.columns):
        obscure = scene.model.obscurity[order.columns]
        scores = order.scores + novelty * order.scores.std() * obscure
        best = np.lexsort((order.columns, -scores))
        order = RankedOrder(order.columns[best], scores[best])
    if cap:
        category = pd.Series(scene.model.categories[order.columns])
        kept = (category.groupby(category).cumcount() < cap).to_numpy()
        order = RankedOrder(order.columns[kept], order.scores[kept])
    return order


def _next_cursor(scene: RequestContext, shown: IntArray) -> str | None:
    """Where the next page begins; None when this one is not full, or empty."""
    if len(shown) < max(scene.asked.wanted, 1):
        return None
    return cursors.encode(shown if scene.seen is None else np.concatenate([scene.seen, shown])) or None
