"""Names that several packages share: the surfaces and the ranking strategies."""

from typing import Literal, TypeAlias, get_args

Surface: TypeAlias = Literal["products", "ads", "campaigns", "onboarding", "rank", "search", "similar"]
Strategy: TypeAlias = Literal[
    "blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"
]

SURFACES: tuple[str, ...] = get_args(Surface)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
