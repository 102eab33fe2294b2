"""Weights of behaviours against a log whose answer is known by construction."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import EVENTS
from tierrec_core.bundle.event_weights import DEFAULT_WEIGHTS, learn_event_weights
from tierrec_core.data.interactions import Interactions

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-01-01", tz="UTC")


def log(view_share: float, cart_share: float, pairs: int = 400) -> Interactions:
    """Each pair is viewed, or carted, once; a known share of either is bought a day later, and again the next day."""
    rows = []
    for kind, share in (("view", view_share), ("cart", cart_share)):
        for n in range(pairs):
            who, what, when = f"{kind}{n}", f"i{n % 50}", START + (n % 30) * DAY
            rows.append((who, what, kind, when))
            if n < share * pairs:
                rows += [(who, what, "purchase", when + DAY), (who, what, "purchase", when + 2 * DAY)]
    rows.append(("last", "i0", "view", START + 60 * DAY))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "timestamp"])
    return Interactions.from_events(EVENTS.conform(frame, "tests"))


def test_weights_are_the_shares_that_were_taken() -> None:
    weights = learn_event_weights(log(view_share=0.2, cart_share=0.8), ("purchase",))
    taken_again = 0.5  # of two purchases the first is followed by another
    assert weights["cart"] == 1.0
    assert weights["view"] == pytest.approx(0.2 / 0.8, abs=0.01)
    assert weights["purchase"] == pytest.approx(taken_again / 0.8, abs=0.01)
    assert weights["favourite"] == DEFAULT_WEIGHTS["favourite"]


def test_a_purchase_after_the_horizon_does_not_count() -> None:
    weights = learn_event_weights(log(view_share=0.2, cart_share=0.8), ("purchase",), horizon_days=0.5)
    assert weights == dict(DEFAULT_WEIGHTS)


def test_a_log_of_one_behaviour_keeps_the_usual_weights(interactions: Interactions) -> None:
    weights = learn_event_weights(interactions, ("purchase",))
    assert weights["purchase"] == 1.0
    assert {name: weights[name] for name in DEFAULT_WEIGHTS if name != "purchase"} == {
        name: weight for name, weight in DEFAULT_WEIGHTS.items() if name != "purchase"
    }
    assert np.isfinite(list(weights.values())).all()
