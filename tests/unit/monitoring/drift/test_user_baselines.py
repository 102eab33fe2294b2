"""Habits are what a plain loop over rows counts."""

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.user_baselines import UserBaselines, count_labels, events_at, once_a_day

USERS, LABELS = 5, 4
RNG = np.random.default_rng(4)


def rows(size: int = 400) -> EncodedEvents:
    """Random rows; some of strangers, some without a category."""
    user, label = RNG.integers(-1, USERS, size), RNG.integers(-2, LABELS, size)
    day = np.sort(RNG.uniform(100.0, 130.0, size))
    return EncodedEvents(user, user, label, label, day, np.ones(size))


def test_a_day_counts_once_however_much_was_done() -> None:
    made = rows()
    found = count_labels(once_a_day(made, LABELS), USERS, LABELS).toarray()
    wanted = np.zeros((USERS, LABELS))
    met = {
        (user, label, int(day))
        for user, label, day in zip(made.user, made.label, made.day, strict=True)
        if user >= 0 and label >= 0
    }
    for user, label, _ in met:
        wanted[user, label] += 1
    np.testing.assert_array_equal(found, wanted)


def test_what_lies_ninety_days_back_counts_half() -> None:
    made = rows()
    habits = UserBaselines.of(made, 131.0, USERS, LABELS)
    later = UserBaselines.of(made, 131.0 + 90.0, USERS, LABELS)
    np.testing.assert_allclose(later.events.toarray(), habits.events.toarray() / 2, rtol=1e-5)
    np.testing.assert_allclose(later.days.toarray(), habits.days.toarray() / 2, rtol=1e-5)


def test_nothing_from_the_windows_is_a_habit() -> None:
    made = rows()
    assert not UserBaselines.of(made, 100.0, USERS, LABELS).exist
    early = made.where(made.day < 110.0)
    found, wanted = (
        UserBaselines.of(made, 110.0, USERS, LABELS),
        UserBaselines.of(early, 110.0, USERS, LABELS),
    )
    assert (found.events != wanted.events).nnz == 0


def test_the_favourite_is_that_of_habits_and_both_windows() -> None:
    past = np.array([[5, 1, 0, 0], [0, 0, 0, 0], [2, 3, 0, 0]], np.float32)
    before = np.array([[0, 2, 0, 0], [0, 4, 0, 0], [0, 0, 1, 0]], np.float32)
    after = np.array([[0, 3, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    habits = UserBaselines(sparse.csr_matrix(past), sparse.csr_matrix(past))
    windows = sparse.csr_matrix(before), sparse.csr_matrix(after)
    assert habits.favourites(*windows).tolist() == [1, -1, 1]
    assert habits.favourites(*windows[::-1]).tolist() == [1, -1, 1]
    assert events_at(windows[0], np.array([1, -1, 2])).tolist() == [2.0, 0.0, 1.0]
