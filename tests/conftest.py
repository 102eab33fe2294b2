"""A tiny world that all tests share: its right answers are obvious."""

import signal

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering

# The same examples each time, and no deadline: a busy machine is not a failure. `make test-unit` takes the quick ones.
settings.register_profile("tierrec", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=5)
settings.load_profile("tierrec")

# A shell ignores SIGINT for what it starts in the background, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NUM_USERS, NUM_ITEMS, NUM_GROUPS = 60, 40, 4


def make_events(seed: int = 0) -> pd.DataFrame:
    """60 users in 4 taste groups; 90% of a user's purchases are among the 10 items of their group.

    User u buys with a rate that grows with u, so that u0 is light and u59 is heavy.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(NUM_USERS):
        group = user % NUM_GROUPS
        for visit in np.sort(rng.uniform(0, 120, 3 + user // 3)):
            for _ in range(1 + rng.integers(3)):
                own = rng.random() < 0.9
                item = group * 10 + min(int(rng.exponential(3)), 9) if own else rng.integers(NUM_ITEMS)
                rows.append((f"u{user:02d}", f"i{item:02d}", visit, f"s{user}-{visit:.3f}", rng.random() < 0.1))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day", "session_id", "coupon"])
    frame["event"] = "purchase"
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    frame["value"], frame["quantity"] = 1.0 + frame["item_id"].str[1:].astype(int), 1.0
    frame["channel"] = np.where(frame["coupon"], "coupon", "store")
    return EVENTS.conform(frame, "tests")


@pytest.fixture(scope="session")
def events() -> pd.DataFrame:
    return make_events()


@pytest.fixture(scope="session")
def items() -> pd.DataFrame:
    index = range(NUM_ITEMS)
    frame = pd.DataFrame(
        {
            "item_id": [f"i{i:02d}" for i in index],
            "title": [f"thing number {i}" for i in index],
            "category": [f"group {i // 10}" for i in index],
            "brand": [f"brand {i % 3}" for i in index],
            "price": [1.0 + i for i in index],
        }
    )
    return ITEMS.conform(frame, "tests")


@pytest.fixture(scope="session")
def interactions(events: pd.DataFrame, items: pd.DataFrame) -> Interactions:
    return Interactions.from_events(events, items=pd.Index(items["item_id"], dtype=object))


@pytest.fixture(scope="session")
def training(interactions: Interactions, items: pd.DataFrame) -> Training:
    tiering = Tiering.fit(interactions, items, TierSettings(num_layers=4), seed=0)
    return Training(history=interactions, items=items, tiering=tiering, target=("purchase",), seed=0)
