"""A synthetic log with a reference as of a cut, and changes of it, for the drift tests."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitoring.drift import DriftReference, DriftVerdict, FeedChecks, OnlineMetrics, evaluate_window, measure_window
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.settings import MonitorSettings, SyntheticSource, TierSettings
from tierrec_core.sources import synthetic
from tierrec_core.tiers import Tiering

START, CUT_DAY, WIDTH = 19723, 168, 28  # 2024-01-01
CUT = float(START + CUT_DAY)
SETTINGS = MonitorSettings(permutations=1_999, past_windows=6, num_categories=6)
TIERS = TierSettings(num_layers=4)


@dataclass(frozen=True)
class DriftWorld:
    """A log, and the champion's reference as of CUT."""

    events: pd.DataFrame
    items: pd.DataFrame
    reference: DriftReference

    def verdict(self, events: pd.DataFrame | None = None, *, seed: int = 3, **others: OnlineMetrics) -> DriftVerdict:
        """On the window after the cut."""
        events = self.events if events is None else events
        window = measure_window(self.reference, events, self.items, CUT + WIDTH)
        feed = FeedChecks.measure(events, self.items, self.reference, CUT + WIDTH, SETTINGS, None)
        return evaluate_window(self.reference, window, feed, SETTINGS, seed, **others)

    @property
    def current(self) -> pd.Series:
        """Rows of the window after the cut."""
        return self.events["timestamp"] >= from_days(CUT)


def known(
    events: pd.DataFrame, items: pd.DataFrame, settings: MonitorSettings = SETTINGS, tiers: TierSettings = TIERS
) -> DriftReference:
    """Build the reference from the log before the cut."""
    past = events[(events["timestamp"] < from_days(CUT)) & (events["event"] != "redeem")]
    history = Interactions.from_events(past, now=CUT)
    described = items.set_index("item_id").loc[history.items].reset_index()
    tiering = Tiering.fit(history, described, tiers, seed=1)
    return DriftReference.build(events, items, CUT, tiering, history, settings)


def made(seed: int, **options: float) -> DriftWorld:
    source = SyntheticSource(
        num_users=400,
        num_items=120,
        num_categories=8,
        days=CUT_DAY + WIDTH,
        **options,  # type: ignore[arg-type]
    )
    log = synthetic.make_synthetic_world(source, seed).log
    return DriftWorld(log.events, log.items, known(log.events, log.items))


def moved_to(world: DriftWorld, users: pd.Index, goal: str, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """From the cut on, redirect a share of these users' events to items of the goal's category."""
    hit = (world.current & world.events["user_id"].isin(users)).to_numpy() & (rng.random(len(world.events)) < share)
    goals = world.items.loc[world.items["category"] == goal, "item_id"].to_numpy(dtype=object)
    ids = world.events["item_id"].to_numpy(dtype=object).copy()
    ids[hit] = rng.choice(goals, hit.sum())
    return world.events.assign(item_id=pd.array(ids, dtype="string[pyarrow]"))
