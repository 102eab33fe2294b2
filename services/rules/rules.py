"""All rules of a shop: which items are allowed, and how lists are re-ordered."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from services.rules.pages import PageBuilder, apply_boosts
from services.rules.plan import ActiveWhen, RankedOrder, RulePlan, Situation
from services.rules.settings import RepeatRule, Rule, Scope
from services.shared_files import YamlFile
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import SettingsError

_IN_STOCK = Expression.parse("stock is null or stock > 0")
_NO_PLAN = RulePlan.of(())
_MAX_CACHED_PLANS = 256


class Rules(YamlFile):
    """rules.yaml. Availability (stock, available_from, available_until) applies without any rule.

    repeat: by category, overrides of the learned repurchase intervals
    """

    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()
    repeat: dict[str, RepeatRule] = Field(default_factory=dict)

    def check(self, catalogue: Catalogue, tiers: Collection[str]) -> None:
        """Raise SettingsError for a rule on a column that the catalogue lacks, or on a tier not among `tiers`."""
        for number, rule in enumerate(self.rules):
            for position, tier in enumerate(rule.scope.tiers):
                if tier not in tiers:
                    key = f"rules.{number}.scope.tiers.{position}"
                    raise SettingsError(f"{key}: {tier!r} is not a tier; wanted one of {', '.join(tiers)}")
            for expression in RulePlan.of([rule]).conditions:
                try:
                    expression.check(catalogue)
                except SettingsError as error:
                    raise SettingsError(f"rules.{number}: {error}") from error

    @property
    def named_items(self) -> tuple[str, ...]:
        """The items that rules name by their ids."""
        return tuple(rule.pin.item_id for rule in self.rules if rule.pin)

    @cached_property
    def num_conditions(self) -> int:
        """How many rules have to be evaluated for each item at most."""
        return sum(rule.pin is None for rule in self.rules)

    def allowed(self, catalogue: Catalogue, situation: Situation) -> BoolArray | None:
        """The allowed items without regard to the review, [I], possibly read-only; None = all items."""
        plan = self._plan(situation)
        included = (*plan.included, _IN_STOCK) if "stock" in catalogue.names else plan.included
        by_rules = catalogue.mask(ActiveWhen(included, plan.excluded)) if included or plan.excluded else None
        by_date = catalogue.available(situation.now)
        return by_rules if by_date is None else by_date if by_rules is None else by_rules & by_date

    def apply(
        self, order: RankedOrder, situation: Situation, catalogue: Catalogue, allowed: BoolArray | None = None
    ) -> RankedOrder:
        """Apply the rules to the order and cut the first k, fewer if candidates, caps or shares do not allow k.

        allowed: the items that may be shown, [I]; other items and those of earlier pages are not shown, even if
        pinned. Boosts are applied first, then pins at their slots (or earlier if the list is too short to reach
        them), then shares and caps. On the surface `rank` a pin moves a given item and adds none. Without shares a
        larger k only extends the list; shares refer to each page of k.
        """
        if allowed is not None:
            is_allowed = allowed[order.columns]
            order = order if is_allowed.all() else order.take(is_allowed)
        if len(situation.shown):
            order = order.take(~np.isin(order.columns, situation.shown))
        plan = self._plan(situation)
        order = apply_boosts(order, plan.boosts, catalogue)
        if not plan.has_slot_rules:
            return order.take(slice(situation.k))
        return PageBuilder(plan, situation, catalogue).build(order, allowed)

    def _plan(self, situation: Situation) -> RulePlan:
        if not self.rules:
            return _NO_PLAN
        values = tuple(_scalar(situation.user.get(name)) for name in self._segments)
        return self._plan_of(situation.surface, situation.tier, values)

    @cached_property
    def _segments(self) -> tuple[str, ...]:
        """User attributes that some rule refers to."""
        return tuple(sorted({name for rule in self.rules for name in rule.scope.segments}))

    @cached_property
    def _plan_of(self) -> Callable[[str, str, tuple[Any, ...]], RulePlan]:
        """The plan for a surface, a tier and the segments' values, cached."""

        @lru_cache(maxsize=_MAX_CACHED_PLANS)
        def plan(surface: str, tier: str, values: tuple[Any, ...]) -> RulePlan:
            user = dict(zip(self._segments, values, strict=True))
            return RulePlan.of([rule for rule in self.rules if _applies(rule.scope, surface, tier, user)])

        return plan


def _applies(scope: Scope, surface: str, tier: str, user: Mapping[str, Any]) -> bool:
    if (scope.surfaces and surface not in scope.surfaces) or (scope.tiers and tier not in scope.tiers):
        return False
    accepted = {name: value if isinstance(value, tuple) else (value,) for name, value in scope.segments.items()}
    return all(user[name] in values for name, values in accepted.items())


def _scalar(value: Any) -> Any:
    """The attribute's value if a segment can refer to it, else None."""
    return value if isinstance(value, str | bool | int | float) else None
