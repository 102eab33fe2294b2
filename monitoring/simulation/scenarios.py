"""What may happen to a world, by name, for a person who wants to see it happen."""

from collections.abc import Callable, Mapping

import numpy as np

from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.recommender import ReplayRecommender
from monitoring.simulation.world import ReplayWorld
from tierrec_core.base.errors import SettingsError
from tierrec_core.tiers import TIER_NAMES

_SEASON_DAYS = 42.0
_YEAR = 364.0

Change = Callable[[ReplayWorld, float, float, int], synthetic_drift.ShiftedLog]


def happen(world: ReplayWorld, name: str, start: float, share: float, seed: int) -> ReplayWorld:
    """The world to which it happens from day `start` on, to a share of its users or rows where it takes one.

    Raises SettingsError for an unknown name.
    """
    if name == "none":
        return world
    if name not in CHANGES:
        raise SettingsError(f"--shift: {name!r} is unknown; known are none, {', '.join(CHANGES)}")
    return world.after(CHANGES[name](world, start, share, seed))


def _interests(kind: synthetic_drift.Kind) -> Change:
    def change(world: ReplayWorld, start: float, share: float, seed: int) -> synthetic_drift.ShiftedLog:
        rng = np.random.default_rng(seed)
        return synthetic_drift.interests(
            world.events, world.items, share=share, start=start, rng=rng, kind=kind
        )

    return change


def _new_category(world: ReplayWorld, start: float, share: float, seed: int) -> synthetic_drift.ShiftedLog:
    rng = np.random.default_rng(seed)
    return synthetic_drift.new_category(world.events, world.items, share=share, start=start, rng=rng)


def _season(world: ReplayWorld, start: float, _share: float, seed: int) -> synthetic_drift.ShiftedLog:
    """Also a year earlier and later, where the log is long enough."""
    starts = [day for day in (start - _YEAR, start, start + _YEAR) if world.start <= day < world.end]
    rng = np.random.default_rng(seed)
    return synthetic_drift.season(world.events, world.items, starts=starts, rng=rng, weeks=_SEASON_DAYS / 7)


def _collapse(tier: int) -> Change:
    def change(world: ReplayWorld, start: float, _share: float, seed: int) -> synthetic_drift.ShiftedLog:
        model = ReplayRecommender.fit(world, start, seed)
        users = model.history.users[model.tiering.tier == tier]
        rng, name = np.random.default_rng(seed), f"tier {TIER_NAMES[tier]}"
        return synthetic_drift.collapse(
            world.events, users=users, start=start, rng=rng, items=world.items, name=name
        )

    return change


def _fault(fault: faults.Fault) -> Change:
    def change(world: ReplayWorld, start: float, _share: float, seed: int) -> synthetic_drift.ShiftedLog:
        span = faults.FaultPeriod(world.events, world.items, start, start + faults.LASTS)
        return fault(span, np.random.default_rng(seed))

    return change


CHANGES: Mapping[str, Change] = {
    "interests": _interests("concentrated"),
    "diffuse": _interests("diffuse"),
    "new_category": _new_category,
    "season": _season,
    **{f"collapse_{name}": _collapse(tier) for tier, name in enumerate(TIER_NAMES)},
    **{name: _fault(fault) for name, fault in faults.FAULTS.items()},
}
