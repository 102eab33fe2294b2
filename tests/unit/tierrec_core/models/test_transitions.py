"""What follows what, against nested loops over every user's events."""

import numpy as np
import pandas as pd
import pytest

from tests.support.plain_histories import plain_training
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.transitions import Transitions

NUM_USERS, NUM_ITEMS, LENGTH = 30, 12, 7


def log(sequences: list[list[int]], per_step: int = 1) -> Interactions:
    """Purchases in order, so many in one session."""
    rows = [
        (f"u{user:02}", f"i{item:02}", f"u{user}-{place // per_step}", place)
        for user, items in enumerate(sequences)
        for place, item in enumerate(items)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "session_id", "place"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("place"), unit="h")
    events = EVENTS.conform(frame.assign(event="purchase"), "test")
    items = pd.Index([f"i{item:02}" for item in range(NUM_ITEMS)], dtype=object)
    return Interactions.from_events(events, items=items)


def random_sequences(seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [list(rng.integers(NUM_ITEMS, size=LENGTH)) for _ in range(NUM_USERS)]


def by_hand(sequences: list[list[int]], per_step: int, config: Transitions.Config) -> np.ndarray:
    """Every pair of events of every user, one after the other."""
    counted = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for items in sequences:
        weight = len(items) ** -config.user_exponent
        for first, one in enumerate(items):
            for second in range(first + 1, min(len(items), first + config.reach + 1)):
                gap = second // per_step - first // per_step
                value, other = weight * max(gap, 1) ** -config.gap_exponent, items[second]
                counted[one, other] += value
                counted[other, one] += value * (config.backward if gap else 1.0)
    np.fill_diagonal(counted, 0.0)
    met = np.bincount(np.concatenate(sequences), minlength=NUM_ITEMS)
    leaving = (counted.sum(axis=1) + 1.0) ** -config.source_exponent
    return counted * leaving[:, None] * (met + 1.0) ** -config.target_exponent


@pytest.mark.parametrize(
    ("per_step", "options"),
    [
        (1, {"step": "event", "reach": 3, "gap_exponent": 0.7, "backward": 0.2}),
        (2, {"step": "session", "reach": 5, "user_exponent": 0.5}),
        (1, {"step": "event", "backward": 0.0, "source_exponent": 0.0, "target_exponent": 0.0}),
    ],
)
def test_equals_nested_loops(per_step, options):
    sequences, config = random_sequences(), Transitions.Config(**options)
    model = Transitions.fit(plain_training(log(sequences, per_step)), config)
    wanted = by_hand(sequences, per_step, config)
    np.testing.assert_allclose(model.transition.toarray(), wanted, rtol=1e-4, atol=1e-6)


def test_the_newest_steps_count_most():
    sequences = random_sequences()
    config = Transitions.Config(step="event", half_life_steps=2.0)
    history = log(sequences)
    model = Transitions.fit(plain_training(history), config)
    wanted = np.zeros((NUM_USERS, NUM_ITEMS))
    for user, items in enumerate(sequences):
        for place, item in enumerate(items):
            wanted[user] += 0.5 ** ((LENGTH - 1 - place) / 2.0) * model.transition[item].toarray().ravel()
    np.testing.assert_allclose(model.score_catalogue(history), wanted, rtol=1e-4, atol=1e-6)


def test_what_always_follows_comes_first_and_what_went_before_does_not():
    circle = [[(start + step) % NUM_ITEMS for step in range(4)] for start in range(NUM_ITEMS)] * 3
    model = Transitions.fit(plain_training(log(circle)), Transitions.Config(step="event", backward=0.1))
    asked = log([[5]])
    scores = model.score_catalogue(asked)[0]
    assert scores.argmax() == 6
    assert scores[4] < scores[7]
