"""The situation in which a list is shown, the ranked list, and the rules that apply to it, by effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np
import pandas as pd

from services.catalogue.filters import Expression
from services.rules.settings import Boost, Cap, Pin, Rule, ShareOfSlots
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import SettingsError


@dataclass(frozen=True)
class Situation:
    """Where, when and to whom a list is shown.

    tier: its name; user: attributes that segments refer to; now: with a time zone
    k: the number of slots of the page; shown: columns on earlier pages, which have used slots and caps
    """

    surface: str
    tier: str
    user: Mapping[str, Any]
    now: datetime
    k: int
    shown: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class RankedOrder:
    """Distinct catalogue columns, best first, each with its score, [C]."""

    columns: IntArray
    scores: FloatArray

    def take(self, positions: Any) -> "RankedOrder":
        """The order at these positions: a slice, a mask [C] or indices."""
        return RankedOrder(self.columns[positions], self.scores[positions])


@dataclass(frozen=True)
class ActiveWhen:
    """True if all `included` conditions and none of the `excluded` ones are true.

    A condition on a column that the catalogue lacks is never true, as with SQL's null.
    """

    included: tuple[Expression, ...] = ()
    excluded: tuple[Expression, ...] = ()

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Whether it is true for each row of a part of the catalogue's frame, [N]."""
        mask = np.ones(len(frame), bool)
        for expression in self.included:
            mask &= _matches(expression, frame)
        for expression in self.excluded:
            mask &= ~_matches(expression, frame)
        return mask


@dataclass(frozen=True)
class RulePlan:
    """Each effect's rules in the order of the file."""

    included: tuple[Expression, ...]
    excluded: tuple[Expression, ...]
    pins: tuple[Pin, ...]
    shares: tuple[ShareOfSlots, ...]
    caps: tuple[Cap, ...]
    boosts: tuple[Boost, ...]

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Self:
        """Group rules by effect."""
        bands = [rule.price_band.condition for rule in rules if rule.price_band]
        return cls(
            included=(*(rule.include for rule in rules if rule.include), *bands),
            excluded=tuple(rule.exclude for rule in rules if rule.exclude),
            pins=tuple(rule.pin for rule in rules if rule.pin),
            shares=tuple(rule.share for rule in rules if rule.share),
            caps=tuple(rule.cap for rule in rules if rule.cap),
            boosts=tuple(rule.boost for rule in rules if rule.boost),
        )

    @property
    def has_slot_rules(self) -> bool:
        """Whether a page has to be filled slot by slot."""
        return bool(self.pins or self.shares or self.caps)

    @property
    def conditions(self) -> tuple[Expression, ...]:
        """Every condition of the plan, and one for the attribute of each cap."""
        quoted = ['"' + cap.attribute.replace('"', '""') + '"' for cap in self.caps]
        capped = [Expression.parse(f"{name} is null") for name in quoted]
        counted = [share.of for share in self.shares] + [boost.of for boost in self.boosts]
        return (*self.included, *self.excluded, *counted, *capped)


def _matches(expression: Expression, frame: pd.DataFrame) -> BoolArray:
    try:
        return expression.matches(frame)
    except SettingsError:
        return np.zeros(len(frame), bool)
