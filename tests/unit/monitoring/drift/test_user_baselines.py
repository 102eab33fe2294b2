"""Baselines equal the counts of a plain loop over rows."""

import numpy as np
from scipy import sparse

from monitoring.drift.measurement import window_measurement
from monitoring.drift.measurement.encoded_events import EncodedEvents

USERS, LABELS = 5, 4
RNG = np.random.default_rng(4)


def rows(size: int = 400) -> EncodedEvents:
    """Random rows; some of users outside the reference, some without a category."""
    user, label = RNG.integers(-1, USERS, size), RNG.integers(-2, LABELS, size)
    day = np.sort(RNG.uniform(100.0, 130.0, size))
    return EncodedEvents(user, user, label, label, day, np.ones(size))


def test_a_day_counts_once_whatever_its_events() -> None:
    made = rows()
    found = window_measurement.user_label_counts(
        window_measurement.first_event_per_day(made, LABELS), USERS, LABELS
    ).toarray()
    wanted = np.zeros((USERS, LABELS))
    seen = {
        (user, label, int(day))
        for user, label, day in zip(made.user, made.label, made.day, strict=True)
        if user >= 0 and label >= 0
    }
    for user, label, _ in seen:
        wanted[user, label] += 1
    np.testing.assert_array_equal(found, wanted)


def test_events_ninety_days_back_count_half() -> None:
    made = rows()
    baselines = window_measurement.UserBaselines.of(made, 131.0, USERS, LABELS)
    later = window_measurement.UserBaselines.of(made, 131.0 + 90.0, USERS, LABELS)
    np.testing.assert_allclose(later.events.toarray(), baselines.events.toarray() / 2, rtol=1e-5)
    np.testing.assert_allclose(later.days.toarray(), baselines.days.toarray() / 2, rtol=1e-5)


def test_no_event_of_the_windows_is_in_the_baseline() -> None:
    made = rows()
    assert not window_measurement.UserBaselines.of(made, 100.0, USERS, LABELS).has_events
    early = made.where(made.day < 110.0)
    found, wanted = (
        window_measurement.UserBaselines.of(made, 110.0, USERS, LABELS),
        window_measurement.UserBaselines.of(early, 110.0, USERS, LABELS),
    )
    assert (found.events != wanted.events).nnz == 0


def test_the_favourite_is_that_of_baseline_and_both_windows() -> None:
    past = np.array([[5, 1, 0, 0], [0, 0, 0, 0], [2, 3, 0, 0]], np.float32)
    before = np.array([[0, 2, 0, 0], [0, 4, 0, 0], [0, 0, 1, 0]], np.float32)
    after = np.array([[0, 3, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    baselines = window_measurement.UserBaselines(sparse.csr_matrix(past), sparse.csr_matrix(past))
    windows = sparse.csr_matrix(before), sparse.csr_matrix(after)
    assert baselines.favourite_labels(*windows).tolist() == [1, -1, 1]
    assert baselines.favourite_labels(*windows[::-1]).tolist() == [1, -1, 1]
    assert window_measurement.events_in_label(windows[0], np.array([1, -1, 2])).tolist() == [2.0, 0.0, 1.0]
