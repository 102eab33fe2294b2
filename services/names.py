"""Names that the parts of the service share: where a list is shown, and who ranked it."""

from typing import Literal, TypeAlias, get_args

Surface: TypeAlias = Literal["products", "ads", "campaigns", "onboarding", "rank", "search", "similar"]
Ladder: TypeAlias = Literal[
    "blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"
]

SURFACES: tuple[str, ...] = get_args(Surface)
LADDER: tuple[str, ...] = get_args(Ladder)
