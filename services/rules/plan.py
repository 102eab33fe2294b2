"""The rules that apply in one situation, grouped by effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from services.catalogue.filters import Expression
from services.rules.settings import Boost, Cap, Pin, Rule, ShareOfSlots
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import SettingsError


@dataclass(frozen=True)
class ActiveWhen:
    """True if all `included` conditions and none of the `excluded` ones are true.

    A condition on a column that the catalogue lacks is never true, as with SQL's null.
    """

    included: tuple[Expression, ...] = ()
    excluded: tuple[Expression, ...] = ()

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """For each row of a part of the catalogue's frame, [N]."""
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
        capped = [Expression.parse(f"{quote_column(cap.attribute)} is null") for cap in self.caps]
        counted = [share.of for share in self.shares] + [boost.of for boost in self.boosts]
        return (*self.included, *self.excluded, *counted, *capped)


def quote_column(name: str) -> str:
    """A column's name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _matches(expression: Expression, frame: pd.DataFrame) -> BoolArray:
    try:
        return expression.matches(frame)
    except SettingsError:
        return np.zeros(len(frame), bool)
