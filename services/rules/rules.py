"""All rules of a shop: which items may be shown, and in which order."""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from services.catalogue.catalogue import Catalogue
from services.catalogue.filters import Expression
from services.rules.order import RankedOrder, Situation
from services.rules.pages import Pages, boosted
from services.rules.plan import ActiveWhen, RulePlan
from services.rules.settings import RepeatRule, Rule, Scope
from services.yaml_file import mapping_of, text_of
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, parse

_IN_STOCK = Expression.parse("stock is null or stock > 0")
_NO_PLAN = RulePlan.of(())
_KEPT = 256  # plans


class Rules(Params):
    """rules.yaml. Availability (stock, available_from, available_until) counts without any rule.

    repeat: by category, what overrides the learned renewal
    """

    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()
    repeat: dict[str, RepeatRule] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read a YAML text. Raises SettingsError that begins with `where` and names the rule."""
        return parse(cls, mapping_of(text, where), where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; without one there are no rules. Errors as for `parse`."""
        return cls.parse(text_of(path), str(path))

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError for a rule that reads what the catalogue does not have."""
        for number, rule in enumerate(self.rules):
            for expression in RulePlan.of([rule]).reads:
                try:
                    expression.check(catalogue)
                except SettingsError as error:
                    raise SettingsError(f"rules.{number}: {error}") from error

    def allowed(self, catalogue: Catalogue, situation: Situation) -> BoolArray | None:
        """Which items may be shown, [I], perhaps read-only; None = all of them. The review is asked apart."""
        plan = self._plan(situation)
        wanted = (*plan.wanted, _IN_STOCK) if "stock" in catalogue.names else plan.wanted
        lasting = catalogue.mask(ActiveWhen(wanted, plan.unwanted)) if wanted or plan.unwanted else None
        now = catalogue.available(situation.now)
        return lasting if now is None else now if lasting is None else lasting & now

    def apply(
        self, order: RankedOrder, situation: Situation, catalogue: Catalogue, allowed: BoolArray | None = None
    ) -> RankedOrder:
        """The first k of the order after the rules, fewer where candidates, caps or shares do not give more.

        allowed: everything that may be shown at all, [I]; what it lacks is not shown, pinned or not, nor is what
        earlier pages have shown. Boosts come first, then pins at their slots (closed up where the list is too short
        to reach them), then shares and caps. On the surface `rank` a pin moves an item that was given, and adds
        none. Without shares a longer k only adds to the list; shares are of each page of k.
        """
        if allowed is not None:
            kept = allowed[order.columns]
            order = order if kept.all() else order.take(kept)
        if len(situation.shown):
            order = order.take(~np.isin(order.columns, situation.shown))
        plan = self._plan(situation)
        order = boosted(order, plan.boosts, catalogue)
        if not plan.places:
            return order.take(slice(situation.k))
        return Pages(plan, situation, catalogue).page(order, allowed)

    def _plan(self, situation: Situation) -> RulePlan:
        if not self.rules:
            return _NO_PLAN
        values = tuple(_scalar(situation.user.get(name)) for name in self._segments)
        return self._plan_of(situation.surface, situation.tier, values)

    @cached_property
    def _segments(self) -> tuple[str, ...]:
        """User attributes that some rule asks for."""
        return tuple(sorted({name for rule in self.rules for name in rule.scope.segments}))

    @cached_property
    def _plan_of(self) -> Callable[[str, str, tuple[Any, ...]], RulePlan]:
        """The plan for a surface, a tier and the segments' values; those used last are kept."""

        @lru_cache(maxsize=_KEPT)
        def plan(surface: str, tier: str, values: tuple[Any, ...]) -> RulePlan:
            user = dict(zip(self._segments, values, strict=True))
            return RulePlan.of([rule for rule in self.rules if _holds(rule.scope, surface, tier, user)])

        return plan


def _holds(scope: Scope, surface: str, tier: str, user: Mapping[str, Any]) -> bool:
    """Whether a rule of this scope holds here and for this user."""
    if (scope.surfaces and surface not in scope.surfaces) or (scope.tiers and tier not in scope.tiers):
        return False
    wanted = {name: one if isinstance(one, tuple) else (one,) for name, one in scope.segments.items()}
    return all(user[name] in values for name, values in wanted.items())


def _scalar(value: Any) -> Any:
    """A user's attribute, as far as a segment can ask for it."""
    return value if isinstance(value, str | bool | int | float) else None
