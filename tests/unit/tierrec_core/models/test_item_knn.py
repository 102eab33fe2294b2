"""The similarity against nested loops, and what shrinkage, alpha and the number of neighbours do."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tierrec_core.data.interactions import Interactions
from tierrec_core.models.item_knn import ItemKnn


def fit(training, **options):
    return ItemKnn.fit(training, ItemKnn.Config(**options))


def by_hand(met, neighbours, alpha, shrinkage, user_exponent):
    """s_ij as the module's docstring has it, one pair after the other, then all but each row's largest dropped."""
    size, activity = (met**2).sum(axis=0), met.sum(axis=1)
    similarity = np.zeros((met.shape[1], met.shape[1]))
    for i in range(met.shape[1]):
        for j in range(met.shape[1]):
            together = sum(met[u, i] * met[u, j] / activity[u] ** user_exponent for u in range(len(met)))
            similarity[i, j] = together / (size[i] ** alpha * size[j] ** (1 - alpha) + shrinkage) * (i != j)
    for row in similarity:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0.0
    return similarity


@pytest.mark.parametrize(
    ("neighbours", "alpha", "shrinkage", "user_exponent"),
    [(40, 0.5, 0.0, 0.0), (5, 0.3, 7.5, 0.5), (12, 1.0, 2.0, 1.0)],
)
@pytest.mark.parametrize("values", ["binary", "log_count"])
def test_equals_the_formula(training, values, neighbours, alpha, shrinkage, user_exponent):
    history = training.history
    met = history.binary_matrix().toarray() if values == "binary" else np.log1p(history.matrix().toarray())
    met = met.astype(float)
    options = {"alpha": alpha, "shrinkage": shrinkage, "user_exponent": user_exponent}
    expected = by_hand(met, neighbours, **options)
    model = fit(training, values=values, neighbours=neighbours, **options)
    np.testing.assert_allclose(model.similarity.toarray(), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.score_catalogue(history), met @ expected, rtol=1e-4, atol=1e-4)


def test_memory_is_bounded_by_the_number_of_neighbours(training):
    assert np.diff(fit(training, neighbours=3).similarity.indptr).max() == 3


def test_a_catalogue_that_is_sought_through_in_parts_equals_the_formula_too(training):
    """1,500 items are more than one part; cosine by one dense product."""
    rng = np.random.default_rng(0)
    ids, num_items = pd.Index([f"i{item}" for item in range(1500)], dtype=object), 1500
    wide = dataclasses.replace(
        training.history, items=ids, item=rng.integers(num_items, size=len(training.history)).astype(np.int32)
    )
    met = wide.binary_matrix().toarray().astype(float)
    length = np.maximum(np.sqrt((met**2).sum(axis=0)), 1e-9)
    cosine = (met / length).T @ (met / length)
    np.fill_diagonal(cosine, 0.0)
    options = {"values": "binary", "neighbours": num_items, "alpha": 0.5, "shrinkage": 0.0, "user_exponent": 0.0}
    model = fit(dataclasses.replace(training, history=wide), **options)
    np.testing.assert_allclose(model.similarity.toarray(), cosine, rtol=1e-4, atol=1e-6)


def test_shrinkage_doubts_neighbours_that_few_vouch_for(training):
    """The pair that most users share keeps a larger part of its similarity than the pair that fewest share."""
    plain, shrunk = (fit(training, values="binary", shrinkage=one).similarity.toarray() for one in (0.0, 30.0))
    size = training.history.binary_matrix().sum(axis=0).A1
    kept = np.divide(shrunk, plain, out=np.zeros_like(plain), where=plain > 0)
    often, seldom = np.argsort(-size)[:2], np.argsort(size)[:2]
    assert kept[often[0], often[1]] > kept[seldom[0], seldom[1]]


def test_a_larger_alpha_prefers_items_that_many_know(training):
    size = np.asarray(training.history.binary_matrix().sum(axis=0)).ravel()
    one = Interactions.from_history([training.history.items[15]], training.history.items, now=0.0)
    least, most = (np.corrcoef(size, fit(training, alpha=alpha).score_catalogue(one)[0])[0, 1] for alpha in (0.0, 1.0))
    assert most > least
