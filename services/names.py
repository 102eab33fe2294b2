"""What several packages share: the names of surfaces and ranking strategies, and the tolerance of clocks."""

from datetime import timedelta
from typing import Literal, TypeAlias, get_args

Surface: TypeAlias = Literal["products", "ads", "campaigns", "onboarding", "rank", "search", "similar"]
Strategy: TypeAlias = Literal[
    "blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"
]

SURFACES: tuple[str, ...] = get_args(Surface)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
CLOCK_TOLERANCE = timedelta(days=1)  # by which an event may lie in the future
