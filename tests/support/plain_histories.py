"""Purchases of a made world as a history, and what a model is fitted on when items have no attributes."""

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_CODES, ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering


def purchase_history(
    user: np.ndarray, item: np.ndarray, day: np.ndarray, shape: tuple[int, int], now: float
) -> Interactions:
    """One purchase an entry, each a session of its own; shape: the numbers of users and items."""
    count, (num_users, num_items) = len(user), shape
    return Interactions(
        users=pd.Index([f"u{number:03d}" for number in range(num_users)], dtype=object),
        items=pd.Index([f"i{number:03d}" for number in range(num_items)], dtype=object),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        event=np.full(count, EVENT_CODES["purchase"], np.int8),
        day=day.astype(float),
        value=np.ones(count, np.float32),
        quantity=np.ones(count, np.float32),
        session=np.arange(count),
        coupon=np.zeros(count, bool),
        now=now,
    )


def plain_training(history: Interactions, num_layers: int = 2) -> Training:
    items = ITEMS.conform(pd.DataFrame({"item_id": history.items}), "tests")
    tiering = Tiering.fit(history, items, TierSettings(num_layers=num_layers), seed=0)
    return Training(history, items, tiering, ("purchase",), seed=0)
