"""Precomputed tables against the bundle's models, pandas and plain arithmetic."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import EXPOSURES
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.cf_fallback import find_factors
from tierrec_core.bundle.precomputed import PackageInputs, Precomputed, _promoted
from tierrec_core.bundle.user_tables import LastPurchases
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.als import Als
from tierrec_core.models.popularity import Popularity
from tierrec_core.models.tier_prior import TierPrior
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnFeatures, ChurnModel
from tierrec_core.protocols.model import Recommender, Training
from tierrec_core.settings import CampaignSettings, ChurnSettings, ServingSettings
from tierrec_core.tiers import TIER_NAMES


def precomputed(bundle: Bundle, models: Mapping[str, Recommender], folder: Path) -> Precomputed:
    """What is served of the bundle with these models, a constant churn model and no campaigns."""
    history, tiering = bundle.history, bundle.tiering
    candidates = {task: bundle.candidates(task, history) for task in bundle.tasks}
    features = ChurnFeatures(bundle.target, tiering)
    redemptions = replace(Interactions.from_history([], pd.Index([], dtype=object), history.now), users=history.users)
    inputs = PackageInputs(
        churn=ChurnModel.constant(features, np.zeros(0, bool), ChurnSettings()),
        calibration_error=None,
        campaigns=CampaignModel.fit(history, redemptions, pd.Index([]), tiering, CampaignSettings()),
        items=bundle.items,
        exposures=EXPOSURES.conform(pd.DataFrame(columns=["item_id", "week", "display", "mailer"]), "tests"),
        candidates=candidates,
    )
    Precomputed.of(replace(bundle, models=models), inputs, ServingSettings()).save(folder)
    return Precomputed.load(folder)


@pytest.mark.parametrize("is_tuned", [True, False])
def test_tuned_models_or_their_defaults_are_served(
    bundle: Bundle, training: Training, tmp_path: Path, is_tuned
) -> None:
    window, prior = ({"window_days": 90.0}, {"window_days": 60.0, "strength": 10.0}) if is_tuned else ({}, {})
    popularity = Popularity.fit(training, Popularity.Config(**window))
    tier_prior = TierPrior.fit(training, TierPrior.Config(**prior))
    tuned = {**bundle.models, "popularity": popularity, "by tier": tier_prior}
    served = precomputed(bundle, tuned if is_tuned else {"ease": bundle.models["ease"]}, tmp_path)
    np.testing.assert_array_equal(served.item_tables.popularity, popularity.share)
    np.testing.assert_array_equal(served.item_tables.prior, tier_prior.probability)
    for code, tier in enumerate(TIER_NAMES):
        np.testing.assert_array_equal(served.prior_of(tier), tier_prior.probability[code])


def test_an_empty_window_has_the_popularity_of_the_history(bundle: Bundle, training: Training, tmp_path: Path) -> None:
    later = replace(bundle.history, now=bundle.history.now + 1000.0)
    bundle = replace(bundle, known=replace(bundle.known, history=later))
    served = precomputed(bundle, {"ease": bundle.models["ease"]}, tmp_path)
    count = np.bincount(training.history.filter_events(*training.target).item, minlength=training.history.num_items)
    np.testing.assert_allclose(served.item_tables.popularity, count / count.sum(), rtol=1e-6)


def test_bought_tells_the_last_day_of_each_pair(interactions: Interactions) -> None:
    frame = pd.DataFrame({"user": interactions.user, "item": interactions.item, "day": interactions.day})
    wanted = frame.groupby(["user", "item"])["day"].max()
    bought = LastPurchases.of(interactions)
    for user in range(interactions.num_users):
        items, day = bought.row(user)
        assert items.tolist() == wanted[user].index.tolist()
        np.testing.assert_allclose(day, wanted[user].to_numpy(), rtol=1e-6)


def test_nobody_bought_anything(interactions: Interactions) -> None:
    bought = LastPurchases.of(interactions.where(np.zeros(len(interactions), bool)))
    assert [len(part) for part in bought.row(0)] == [0, 0]


def test_factors_are_the_models_own_where_one_has_them(training: Training) -> None:
    als = Als.fit(training, Als.Config(factors=8))
    popularity = Popularity.fit(training, Popularity.Config())
    items, encode = find_factors({"popularity": popularity, "als": als}, training.history)
    assert items is als.item_factors
    scores = encode(training.history) @ items.T
    np.testing.assert_allclose(scores, als.score_catalogue(training.history), rtol=1e-4, atol=1e-5)


def test_without_factors_a_decomposition_finds_the_taste_groups(training: Training) -> None:
    popularity = Popularity.fit(training, Popularity.Config())
    items, encode = find_factors({"popularity": popularity}, training.history)
    best = (encode(training.history) @ items.T).argmax(axis=1)
    group = np.arange(training.history.num_users) % 4
    assert (best // 10 == group).mean() > 0.9


@pytest.mark.parametrize(("share", "wanted"), [(0.5, [True, False]), (0.01, [False, False])])
def test_promoted_is_what_enough_stores_show_in_the_newest_known_week(share: float, wanted: list[bool]) -> None:
    week = pd.Timestamp("2024-03-04", tz="UTC")
    rows = [("a", week, share, 0.0), ("b", week - pd.Timedelta(days=7), 1.0, 1.0), ("b", week, 0.0, 0.0)]
    rows.append(("b", week + pd.Timedelta(days=7), 1.0, 1.0))
    exposures = EXPOSURES.conform(pd.DataFrame(rows, columns=["item_id", "week", "display", "mailer"]), "tests")
    now = (week + pd.Timedelta(days=2)).timestamp() / 86_400
    assert _promoted(exposures, pd.Index(["a", "b"]), now).tolist() == wanted
