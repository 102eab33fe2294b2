"""The filter against dense linear algebra, and its low pass against what a low pass is."""

import dataclasses

import numpy as np

from tierrec_core.models.graph_filter import GraphFilter

PUBLISHED = {"user_exponent": 0.5, "item_exponent": 0.5, "tilt": 0.0, "softness": 0.0, "low_pass_tilt": 0.5}


def fit(training, **options):
    return GraphFilter.fit(training, GraphFilter.Config(values="binary", **options))


def graph_by_hand(history, user_exponent, item_exponent):
    """The met items [U, I], the number of users of each item [I], and P with its largest eigenvalue at 1, [I, I]."""
    met = history.binary_matrix().toarray().astype(float)
    users, items = met.sum(axis=1), met.sum(axis=0)
    graph = met / users[:, None] ** user_exponent / np.maximum(items, 1) ** item_exponent
    square = graph.T @ graph
    return met, items, square / np.linalg.eigvalsh(square)[-1]


def test_published_filter_is_the_normalised_graph_plus_an_ideal_low_pass(training):
    met, items, square = graph_by_hand(training.history, 0.5, 0.5)
    vectors = np.linalg.eigh(square)[1][:, -6:]
    passed = (met / items**0.5) @ vectors @ vectors.T * items**0.5
    model = fit(training, rank=6, low_pass=0.3, **PUBLISHED)
    found = model.score_catalogue(training.history)
    np.testing.assert_allclose(found, met @ square + 0.3 * passed, rtol=1e-3, atol=1e-3)


def test_of_full_rank_it_is_matrix_functions_of_the_graph(training):
    """Sharpening is the matrix exponential, the soft low pass the ridge solution; tilts scale before and after."""
    met, items, square = graph_by_hand(training.history, 0.2, 0.35)
    strength, vectors = np.linalg.eigh(square)
    blurred = square @ vectors @ np.diag(np.exp(-0.8 * strength)) @ vectors.T
    ridge = square @ np.linalg.inv(square + 0.1 * np.eye(len(square)))
    expected = (met / items**0.3) @ blurred * items**0.3 + 0.7 * (met / items**0.6) @ ridge * items**0.6
    options = {"user_exponent": 0.2, "item_exponent": 0.35, "tilt": 0.3, "sharpening": 0.8}
    options |= {"low_pass": 0.7, "low_pass_tilt": 0.6, "softness": 0.1, "rank": 40}
    found = fit(training, **options).score_catalogue(training.history)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_who_is_like_few_gets_scores_in_the_same_way_as_who_is_like_many(training):
    """Of 40 users who met two items each, one has met everything; alone and together they score the same."""
    history = training.history
    first = np.r_[0, np.flatnonzero(np.diff(history.user)) + 1]
    quiet = np.zeros(len(history), dtype=bool)
    quiet[np.r_[first, first + 1]] = True
    sparse_world = history.where(quiet | (history.user == 59))
    model = fit(dataclasses.replace(training, history=sparse_world), rank=4)
    share = [model._user_similarity(sparse_world.select_users(np.array([user]))).nnz / 60 for user in range(60)]
    few, many = int(np.argmin(share)), int(np.argmax(share))
    met, items, square = graph_by_hand(sparse_world, 0.3, 0.5)
    plain = dataclasses.replace(model, passed=model.passed * 0)
    assert share[few] < 0.1 < share[many]
    for user in (few, many):
        weight = np.where(items > 0, np.maximum(items, 1) ** 0.2, 0)
        expected = (met[user] / np.maximum(items, 1) ** 0.2) @ square * weight
        found = plain.score_catalogue(sparse_world.select_users(np.array([user])))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_full_ideal_low_pass_gives_the_history_back(training):
    """All frequencies pass, so that what is left of the score is what was met."""
    options = PUBLISHED | {"rank": 40, "sharpening": 0.0}
    without, with_all = (fit(training, low_pass=one, **options) for one in (0.0, 1.0))
    history = training.history
    rest = with_all.score_catalogue(history) - without.score_catalogue(history)
    np.testing.assert_allclose(rest, history.binary_matrix().toarray(), atol=1e-3)


def test_state_is_two_numbers_a_frequency_whatever_the_number_of_users(training):
    assert fit(training, rank=5).encode_users(training.history).shape == (60, 10)


def test_rank_zero_leaves_only_the_linear_filter(training):
    met, items, square = graph_by_hand(training.history, 0.3, 0.5)
    found = fit(training, rank=0, tilt=0.25).score_catalogue(training.history)
    np.testing.assert_allclose(found, (met / items**0.25) @ square * items**0.25, rtol=1e-3, atol=1e-3)
