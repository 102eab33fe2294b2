"""Settings of the service."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from tierrec_core.base.params import Params, RenamedFrom, Share


class ServingSettings(Params):
    """Options for ranking from precomputed lists and recent events.

    ranked_list_length: number of items stored for each known user, from which rules and paging select
    event_weights: strength of an event as a signal of interest, a purchase being 1; learned from the log where unset
    boost_strength: score added by the largest boost; 1 is the distance from a list's end to its top
    target_boost_share: share of its weight that a target event keeps in the boost, since a purchase satisfies demand
    boost_half_life_hours: age at which a recent event counts half
    """

    ranked_list_length: Annotated[int, Field(ge=20, le=1000), RenamedFrom("shelf_depth")] = 200
    event_weights: Annotated[
        dict[Literal["view", "click", "favourite", "cart", "rating", "purchase", "redeem"], Share],
        RenamedFrom("behaviour"),
    ] = Field(default={})
    boost_strength: Annotated[PositiveFloat, RenamedFrom("fold_strength")] = 2.0
    target_boost_share: Annotated[Share, RenamedFrom("fold_of_target")] = 0.05
    boost_half_life_hours: Annotated[PositiveFloat, RenamedFrom("fold_half_life_hours")] = 24.0
