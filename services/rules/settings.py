"""rules.yaml as frozen, closed models: each rule has one effect, and a scope in which it holds."""

from typing import Annotated, Any, Literal, Self

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
    """Refuse an id that YAML took for a number: 0123 would have lost its zero."""
    if isinstance(value, int | float):
        raise ValueError(f"an id is text; write '{value}' in quotes")
    return value


Condition = Annotated[Expression, PlainValidator(_expression)]
Id = Annotated[str, BeforeValidator(_quoted), Field(min_length=1, max_length=256)]
Scalar = str | bool | int | float


class Scope(Params):
    """Where a rule holds: on these surfaces, for these tiers and users; an empty part holds everywhere.

    segments: user attributes with the value, or the values, that a user must have, all of them
    """

    surfaces: tuple[Surface, ...] = ()
    tiers: tuple[Literal["light", "medium", "heavy"], ...] = ()
    segments: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)


class Pin(Params):
    """An item in a slot, the first being 1. Of several pins for one slot the first whose item may be shown gets it."""

    item_id: Id
    slot: Annotated[int, Field(ge=1, le=1000)]


class ShareOfSlots(Params):
    """How large a part of a page's slots the items that match may have (at_most) or shall have (at_least).

    at_most is rounded down to whole slots and always kept, if need be by a shorter page; at_least is rounded up and
    met as far as there are candidates.
    """

    of: Condition
    at_least: Share = 0.0
    at_most: Share = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_least > self.at_most:
            raise ValueError("at_least is more than at_most")
        return self


class Cap(Params):
    """At most `max` items of a list, over all its pages, share a value of the attribute; no value is not capped."""

    attribute: str
    max: PositiveInt


class PriceBand(Params):
    """Only items whose price is known and within the band, ends included."""

    min: NonNegativeFloat = 0.0
    max: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError("min is more than max")
        return self

    @property
    def condition(self) -> Expression:
        """The band as a condition."""
        above = f"price >= {self.min!r}"
        return Expression.parse(above if self.max is None else f"{above} and price <= {self.max!r}")


class Boost(Params):
    """Adds to the scores of items that match; the unit is one standard deviation of the list's scores."""

    of: Condition
    factor: Annotated[float, Field(ge=-10, le=10)]


class Rule(Params):
    """One effect in one scope. Several include rules narrow one another.

    A condition on an empty attribute is neither true nor false: such an item is not included, nor excluded by it.
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
        given = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"has {found}; wanted exactly one of {', '.join(EFFECTS)}")
        return self


class RepeatRule(Params):
    """What overrides the learned renewal of a category; None leaves what was learned.

    wait_days hides what was bought for so many days. Without it, may_repeat: false hides it for good, and
    may_repeat: true for the time that was learned.
    """

    may_repeat: bool | None = None
    wait_days: NonNegativeFloat | None = None
