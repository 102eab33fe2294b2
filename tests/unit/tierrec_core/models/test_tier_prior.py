"""The Dirichlet prior against its formula in pandas, and its two limits."""

import dataclasses

import numpy as np
import pandas as pd

from tierrec_core.models.tier_prior import TierPrior


def counts(training, window_days):
    """Events a tier and item within the window, [3, I]."""
    history = training.history
    frame = pd.DataFrame({"tier": training.tiering.tier[history.user], "item": history.item})
    frame = frame[history.now - history.day <= window_days]
    table = pd.crosstab(frame["tier"], frame["item"])
    return table.reindex(index=range(3), columns=range(history.num_items), fill_value=0).to_numpy(float)


def fit(training, **options):
    return TierPrior.fit(training, TierPrior.Config(**options)).probability


def test_equals_the_formula(training):
    count = counts(training, 60)
    overall = count.sum(0) / count.sum()
    expected = (count + 50 * overall) / (count.sum(1, keepdims=True) + 50)
    np.testing.assert_allclose(fit(training, window_days=60, strength=50), expected, rtol=1e-3, atol=1e-5)


def test_a_strong_prior_is_overall_popularity_and_a_weak_one_the_tiers_own(training):
    count = counts(training, 60)
    strong, weak = (fit(training, window_days=60, strength=strength) for strength in (1e9, 1e-9))
    np.testing.assert_allclose(strong, np.tile(count.sum(0) / count.sum(), (3, 1)), rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(weak, count / count.sum(1, keepdims=True), rtol=1e-2, atol=1e-5)


def test_a_tier_without_events_has_overall_popularity(training):
    light = dataclasses.replace(training.tiering, tier=np.zeros(60, np.int8))
    probability = fit(dataclasses.replace(training, tiering=light))
    np.testing.assert_allclose(probability[2], probability[0], atol=1e-5)


def test_a_user_is_scored_by_the_list_of_their_tier(training):
    model = TierPrior.fit(training, TierPrior.Config())
    scores = model.score_catalogue(training.history)
    np.testing.assert_array_equal(scores, model.probability[training.tiering.tier])
