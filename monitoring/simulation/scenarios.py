"""Named changes of a world, as `tierrec simulate --shift` offers them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from monitoring.simulation import synthetic_drift
from monitoring.simulation.fault_period import Fault, FaultPeriod
from monitoring.simulation.faults import FAULT_DAYS, FAULTS
from monitoring.simulation.synthetic_drift import ChangedLog
from monitoring.simulation.world import ReplayRecommender, ReplayWorld
from tierrec_core.base.errors import SettingsError

_YEAR = 364.0

Change = Callable[[ReplayWorld, float, float, int], ChangedLog]  # of a world, from a day on, of a share, by a seed


def apply_change(world: ReplayWorld, name: str, start: float, share: float, seed: int) -> ReplayWorld:
    """The world after a change from day `start` on, of a share of its users where the change has one.

    Raises SettingsError for an unknown name.
    """
    if name == "none":
        return world
    changes = changes_of(world.tiers.names)
    if name not in changes:
        raise SettingsError(f"--shift: {name!r} is unknown; known are none, {', '.join(changes)}")
    return world.after(changes[name](world, start, share, seed))


def changes_of(tiers: Sequence[str]) -> Mapping[str, Change]:
    """All changes by name, those of single tiers included."""
    collapses = {f"collapse_{name}": partial(_collapse, tier=tier) for tier, name in enumerate(tiers)}
    return _CHANGES | collapses


def _of_share(
    world: ReplayWorld, start: float, share: float, seed: int, *, change: Callable[..., ChangedLog]
) -> ChangedLog:
    return change(world.events, world.items, share=share, start=start, rng=np.random.default_rng(seed))


def _season(world: ReplayWorld, start: float, _share: float, seed: int) -> ChangedLog:
    """Repeated a year earlier and later, where the log is long enough."""
    starts = [day for day in (start - _YEAR, start, start + _YEAR) if world.start <= day < world.end]
    return synthetic_drift.add_season(world.events, world.items, starts=starts, rng=np.random.default_rng(seed))


def _collapse(world: ReplayWorld, start: float, _share: float, seed: int, *, tier: int) -> ChangedLog:
    model = ReplayRecommender.fit(world, start, seed)
    users = model.canary.history.users[model.tiering.tier == tier]
    rng, name = np.random.default_rng(seed), f"tier {model.tiering.names[tier]}"
    return synthetic_drift.reduce_activity(world.events, world.items, users=users, start=start, rng=rng, name=name)


def _break(world: ReplayWorld, start: float, _share: float, seed: int, *, fault: Fault) -> ChangedLog:
    period = FaultPeriod(world.events, world.items, start, start + FAULT_DAYS)
    return fault(period, np.random.default_rng(seed))


_CHANGES: dict[str, Change] = {
    "interests": partial(_of_share, change=synthetic_drift.shift_interests),
    "diffuse": partial(_of_share, change=partial(synthetic_drift.shift_interests, kind="diffuse")),
    "new_category": partial(_of_share, change=synthetic_drift.add_category),
    "season": _season,
    **{name: partial(_break, fault=fault) for name, fault in FAULTS.items()},
}
