"""Activity tiers: known tiers are found again, cuts stay frozen, hysteresis holds as worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import TIER_NAMES, Tiering
from tierrec_core.tiers.activity import FEATURES, MONEY, ActivityFeatures, ActivityTiers

METHODS = ("quantile", "kmeans", "gaussian_mixture", "agglomerative")


def known_world(users_per_tier=(40, 40, 20), seed: int = 0) -> tuple[Interactions, np.ndarray]:
    """Users who visit 2, 8 or 32 times in 60 days and pay about 5, 10 or 20 a visit: clear tiers."""
    rng = np.random.default_rng(seed)
    tier = np.repeat([0, 1, 2], users_per_tier)
    rows = [
        (f"u{user:03d}", f"i{rng.integers(50):02d}", day, 5.0 * 2**level * rng.uniform(0.9, 1.1))
        for user, level in enumerate(tier)
        for day in rng.uniform(0, 60, 2 * 4**level)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day", "value"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    frame["event"] = "purchase"
    return Interactions.from_events(EVENTS.conform(frame, "tests")), tier


@pytest.mark.parametrize("method", METHODS)
def test_known_tiers_are_found_before_and_after_disk(method: str, tmp_path) -> None:
    history, tier = known_world()
    rule = ActivityTiers.fit(history, TierSettings(method=method), np.random.default_rng(0))
    artifacts.save(rule, tmp_path / "rule")
    for one in (rule, artifacts.load(ActivityTiers, tmp_path / "rule")):
        np.testing.assert_array_equal(one.assign(history), tier)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("names", "quantiles"), [(("rare", "often"), (0.5,)), (tuple("abcd"), (0.2, 0.5, 0.8))])
def test_there_are_as_many_tiers_as_names(method: str, names, quantiles) -> None:
    history, _ = known_world()
    settings = TierSettings(method=method, names=names, quantiles=quantiles)
    tiering = Tiering.fit(history, pd.DataFrame({"category": ["a", "b"] * 25}), settings, seed=0)
    assert tiering.names == names
    assert set(tiering.tier.tolist()) == set(range(len(names)))
    spend = np.log1p(np.bincount(history.user, history.value))
    mean = [spend[tiering.tier == tier].mean() for tier in range(len(names))]
    assert np.all(np.diff(mean) > -0.05), "the world has three groups; two tiers within one have equal spend"


def test_default_cuts_are_the_quantiles_asked_for(interactions) -> None:
    tiers = Tiering.fit(interactions, pd.DataFrame({"category": ["a", "b"] * 20}), TierSettings(), seed=0).tier
    np.testing.assert_array_equal(np.bincount(tiers), [24, 24, 12])


def test_features_equal_a_plain_loop(interactions) -> None:
    found = ActivityFeatures.fit(interactions, 90.0).of(interactions)
    for user in range(interactions.num_users):
        mine = (interactions.user == user) & (interactions.age < 90)
        age, value = interactions.age[mine], interactions.value[mine]
        wanted = [
            -np.log1p(age.min()),
            np.log1p(len(set(interactions.session[mine]))),
            np.log1p(sum(paid * 0.5 ** (days / 45) for days, paid in zip(age, value, strict=True))),
            np.log1p(len(set(interactions.item[mine]))),
        ]
        np.testing.assert_allclose(found[user], wanted, rtol=1e-6)


def test_unknown_values_are_the_usual_price_of_the_item(interactions) -> None:
    recipe = ActivityFeatures.fit(interactions, 90.0)
    unpriced = replace(interactions, value=np.zeros_like(interactions.value))
    np.testing.assert_allclose(recipe.of(unpriced), recipe.of(interactions), rtol=1e-5)


def test_a_log_of_views_has_tiers_too(interactions) -> None:
    views = replace(interactions, event=np.ones_like(interactions.event), value=np.zeros_like(interactions.value))
    rule = ActivityTiers.fit(views, TierSettings(), np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(rule.assign(views)), [24, 24, 12])


def test_nobody_active_is_light() -> None:
    history, _ = known_world()
    rule = ActivityTiers.fit(history, TierSettings(), np.random.default_rng(0))
    np.testing.assert_array_equal(rule.assign(replace(history, now=history.now + 400)), 0)


@given(first=st.floats(0.01, 1e6), extra=st.floats(0, 1e6), user=st.integers(0, 99))
def test_more_spend_never_lowers_the_tier(first: float, extra: float, user: int) -> None:
    history, _ = WORLD
    row = history.select_users(np.array([user]))
    less = replace(row, value=np.full(len(row), first, np.float32))
    more = replace(row, value=np.full(len(row), first + extra, np.float32))
    assert RULE.assign(more)[0] >= RULE.assign(less)[0]


@given(chosen=st.lists(st.integers(0, 99), min_size=1, max_size=30))
def test_whoever_else_is_there_a_tier_is_the_same(chosen: list[int]) -> None:
    history, _ = WORLD
    np.testing.assert_array_equal(RULE.assign(history.select_users(np.array(chosen))), RULE.assign(history)[chosen])


def test_hysteresis_as_worked_by_hand() -> None:
    """Cuts 10 and 20, sd 10, hysteresis .15: bands 8.5 to 11.5 and 18.5 to 21.5."""
    recipe = ActivityFeatures(90.0, ("purchase",), np.ones(1))
    rule = ActivityTiers(recipe, np.array([10.0, 20.0]), 10.0, 0.15, None)
    features = np.zeros((9, len(FEATURES)))
    features[:, MONEY] = [11, 12, 9, 8, 21, 22, 19, 18, 11]
    previous = np.array([0, 0, 1, 1, 1, 1, 2, 2, -1])
    np.testing.assert_array_equal(rule.assign_features(features, previous), [0, 1, 1, 0, 1, 2, 2, 1, 1])


@pytest.mark.parametrize("method", METHODS)
def test_hysteresis_of_zero_forgets(method: str, interactions) -> None:
    rule = ActivityTiers.fit(interactions, TierSettings(method=method, hysteresis=0), np.random.default_rng(0))
    fresh = rule.assign(interactions)
    np.testing.assert_array_equal(rule.assign(interactions, np.roll(fresh, 7)), fresh)


@pytest.mark.parametrize("method", METHODS)
def test_endless_hysteresis_never_lets_go(method: str, interactions) -> None:
    rule = ActivityTiers.fit(interactions, TierSettings(method=method, hysteresis=1e9), np.random.default_rng(0))
    previous = np.arange(60) % len(TIER_NAMES)
    np.testing.assert_array_equal(rule.assign(interactions, previous), previous)


WORLD = known_world()
RULE = ActivityTiers.fit(WORLD[0], TierSettings(), np.random.default_rng(0))
