"""The schema of rules.yaml: each rule has one effect, and a scope in which it applies."""

from datetime import date
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, NonNegativeFloat, PlainValidator, PositiveInt, model_validator

from services.catalogue.filters import Expression
from services.names import Surface
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, Share

EFFECTS = ("include", "exclude", "pin", "share", "cap", "price_band", "boost")


def _expression(value: Any) -> Expression:
    if not isinstance(value, str):
        raise ValueError("wanted a condition such as price < 10")
    try:
        return Expression.parse(value)
    except SettingsError as error:
        raise ValueError(str(error)) from error


def _quoted(value: Any) -> Any:
    """Refuse an id that YAML parsed as a number or date: 0123 would have lost its zero."""
    if isinstance(value, int | float | date):
        raise ValueError(f"an id is text; write '{getattr(value, 'written', value)}' in quotes")
    return value


Condition = Annotated[Expression, PlainValidator(_expression)]
Id = Annotated[str, BeforeValidator(_quoted), Field(min_length=1, max_length=256)]
Scalar = str | bool | int | float


class Scope(Params):
    """Where a rule applies: on these surfaces, for these tiers and users; an empty field does not restrict it.

    segments: user attributes with the accepted value or values; all must match
    """

    surfaces: tuple[Surface, ...] = ()
    tiers: tuple[str, ...] = ()
    segments: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)


class Pin(Params):
    """An item at a slot, counted from 1. Of several pins for one slot the first whose item may be shown is used."""

    item_id: Id
    slot: Annotated[int, Field(ge=1, le=1000)]


class ShareOfSlots(Params):
    """The minimum (at_least) and maximum (at_most) share of a page's slots for the items that match.

    at_most is rounded down to whole slots and always enforced, if necessary by a shorter page; at_least is rounded up
    and reached as far as there are candidates.
    """

    of: Condition
    at_least: Share = 0.0
    at_most: Share = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least:g}, wanted at most at_most, which is {self.at_most:g}")
        return self


class Cap(Params):
    """At most `max` items of a list, over all its pages, have the same value of the attribute; null is not capped."""

    attribute: str
    max: PositiveInt


class PriceBand(Params):
    """Only items whose price is known and within the band, ends included."""

    min: NonNegativeFloat = 0.0
    max: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min:g}, wanted at most max, which is {self.max:g}")
        return self

    @property
    def condition(self) -> Expression:
        """The price band as a SQL condition."""
        above = f"price >= {self.min!r}"
        return Expression.parse(above if self.max is None else f"{above} and price <= {self.max!r}")


class Boost(Params):
    """Adds `factor` standard deviations of the list's scores to the scores of items that match."""

    of: Condition
    factor: Annotated[float, Field(ge=-10, le=10)]


class Rule(Params):
    """One effect in one scope. If there are several include rules, an item has to match all of them.

    A condition on a null attribute is neither true nor false: it neither includes nor excludes the item.
    """

    name: str = ""
    scope: Scope = Scope()
    include: Condition | None = None
    exclude: Condition | None = None
    pin: Pin | None = None
    share: ShareOfSlots | None = None
    cap: Cap | None = None
    price_band: PriceBand | None = None
    boost: Boost | None = None

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        effects = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(effects) != 1:
            raise ValueError(f"has {', '.join(effects) or 'none'}; wanted exactly one of {', '.join(EFFECTS)}")
        return self


class RepeatRule(Params):
    """Overrides the learned repurchase interval of a category; None keeps it.

    wait_days hides a purchased item for so many days. Without it, may_repeat: false hides it permanently, and
    may_repeat: true for the learned interval.
    """

    may_repeat: bool | None = None
    wait_days: NonNegativeFloat | None = None
