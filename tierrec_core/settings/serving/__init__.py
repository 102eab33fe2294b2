"""How the service answers."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from tierrec_core.base.params import Params, Share


class ServingSettings(Params):
    """How the service answers from what the pipeline made.

    shelf_depth: how many items of each known user's list are kept for rules and paging to choose from
    behaviour: what an event is worth as a sign of interest, a purchase being 1; learned from the log where unset
    fold_strength: how far fresh events move an item; 1 is the way from a list's end to its top
    fold_of_target: how much of its weight a target event keeps then: who has bought wants it less, not more
    fold_half_life_hours: after that time a fresh event counts half
    """

    shelf_depth: Annotated[int, Field(ge=20, le=1000)] = 200
    behaviour: dict[Literal["view", "click", "favourite", "cart", "rating", "purchase", "redeem"], Share] = (
        Field(default={})
    )
    fold_strength: PositiveFloat = 2.0
    fold_of_target: Share = 0.05
    fold_half_life_hours: PositiveFloat = 24.0
