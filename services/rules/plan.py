"""The rules that hold in one situation, by effect."""

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
    """All of these conditions are true, and none of those.

    A condition that reads what a catalogue does not have is true nowhere, as with SQL's null.
    """

    wanted: tuple[Expression, ...] = ()
    unwanted: tuple[Expression, ...] = ()

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """For each row of a part of the catalogue's frame, [N]."""
        held = np.ones(len(frame), bool)
        for expression in self.wanted:
            held &= _matches(expression, frame)
        for expression in self.unwanted:
            held &= ~_matches(expression, frame)
        return held


@dataclass(frozen=True)
class RulePlan:
    """Each effect's rules in the order of the file."""

    wanted: tuple[Expression, ...]
    unwanted: tuple[Expression, ...]
    pins: tuple[Pin, ...]
    shares: tuple[ShareOfSlots, ...]
    caps: tuple[Cap, ...]
    boosts: tuple[Boost, ...]

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Self:
        """Sort rules by effect."""
        bands = [rule.price_band.condition for rule in rules if rule.price_band]
        return cls(
            wanted=(*(rule.include for rule in rules if rule.include), *bands),
            unwanted=tuple(rule.exclude for rule in rules if rule.exclude),
            pins=tuple(rule.pin for rule in rules if rule.pin),
            shares=tuple(rule.share for rule in rules if rule.share),
            caps=tuple(rule.cap for rule in rules if rule.cap),
            boosts=tuple(rule.boost for rule in rules if rule.boost),
        )

    @property
    def places(self) -> bool:
        """Whether it does more than hide and boost."""
        return bool(self.pins or self.shares or self.caps)

    @property
    def reads(self) -> tuple[Expression, ...]:
        """Every condition in it; a cap reads its attribute."""
        capped = [Expression.parse(f"{quoted(cap.attribute)} is null") for cap in self.caps]
        counted = [share.of for share in self.shares] + [boost.of for boost in self.boosts]
        return (*self.wanted, *self.unwanted, *counted, *capped)


def quoted(name: str) -> str:
    """A column's name as an expression spells it."""
    return '"' + name.replace('"', '""') + '"'


def _matches(expression: Expression, frame: pd.DataFrame) -> BoolArray:
    try:
        return expression.matches(frame)
    except SettingsError:
        return np.zeros(len(frame), bool)
