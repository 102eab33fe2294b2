"""Windows and steps against loops over plain lists."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base.contracts import EVENT_CODES
from tierrec_core.data.interactions import Interactions, ranges
from tierrec_core.features import sequences

BOUNDS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=6)


@given(BOUNDS, st.integers(1, 8))
def test_windows_hold_the_newest_indices_and_then_padding(bounds, length):
    first = np.array([start for start, _ in bounds])
    last = first + [size for _, size in bounds]
    for row, start, end in zip(sequences.windows(first, last, length), first, last, strict=True):
        newest = list(range(start, end))[-length:]
        assert row.tolist() == newest + [-1] * (length - len(newest))


@given(BOUNDS)
def test_ranges_are_concatenated(bounds):
    first = np.array([start for start, _ in bounds])
    last = first + [size for _, size in bounds]
    assert ranges(first, last).tolist() == [i for a, b in zip(first, last, strict=True) for i in range(a, b)]


def test_steps_are_the_sessions_in_order(interactions: Interactions):
    steps = sequences.Sessions.of(interactions, "session")
    for user in (0, 17, 59):
        sessions = interactions.session[interactions.offsets[user] : interactions.offsets[user + 1]]
        assert steps.user_offsets[user + 1] - steps.user_offsets[user] == len(np.unique(sessions))
    one_session_each = [
        len(np.unique(interactions.session[a:b]))
        for a, b in zip(steps.event_offsets[:-1], steps.event_offsets[1:], strict=True)
    ]
    assert set(one_session_each) == {1}
    assert len(sequences.Sessions.of(interactions, "event").event_offsets) == len(interactions) + 1


def test_items_are_drawn_in_proportion_to_a_power_of_popularity(interactions: Interactions):
    sampler = sequences.ItemSampler.by_popularity(interactions, 0.5)
    root = np.sqrt(np.bincount(interactions.item))
    drawn = np.bincount(sampler.draw((200, 1000), np.random.default_rng(0)).ravel(), minlength=40)
    np.testing.assert_allclose(sampler.share, root / root.sum())
    np.testing.assert_allclose(drawn / drawn.sum(), sampler.share, atol=0.003)


def test_impressions_are_removed(interactions: Interactions):
    event = interactions.event.copy()
    event[::3] = EVENT_CODES["impression"]
    kept = sequences.without_impressions(dataclasses.replace(interactions, event=event))
    assert len(kept) == len(interactions) - len(event[::3])
    assert set(kept.event) == {EVENT_CODES["purchase"]}


def test_draws_stay_within_and_reach_every_index():
    drawn = sequences.draw_within(np.array([3, 10]), np.array([6, 11]), 200, np.random.default_rng(0))
    assert set(drawn[0]) == {3, 4, 5}
    assert set(drawn[1]) == {10}


def newest(visitor, **options):
    last = visitor.offsets[1:]
    return sequences.recent_items(
        visitor, visitor.offsets[:-1], last, np.array([100.0]), sequences.HistoryConfig(**options)
    )


def test_weights_of_recent_items_halve_and_sum_to_one(items):
    visitor = Interactions.from_history(["i00", "i01", "i02"], pd_index(items), now=100.0)
    recent, weight = newest(visitor, max_length=5, half_life=1 / 1440)
    np.testing.assert_allclose(weight, [[1 / 7, 2 / 7, 4 / 7, 0, 0]], rtol=1e-4)
    assert recent[0, :3].tolist() == [0, 1, 2]


def test_an_empty_history_weighs_nothing(items):
    visitor = Interactions.from_history([], pd_index(items), now=100.0)
    assert newest(visitor, max_length=4)[1].tolist() == [[0, 0, 0, 0]]


def pd_index(items):
    return items.set_index("item_id").index.astype(object)
