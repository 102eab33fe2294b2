"""Both tasks against what really came next in the made world: order, probabilities, and their product."""

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from tests.conftest import NUM_ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.user_item import pair_features
from tierrec_core.models.multitask import Multitask
from tierrec_core.models.multitask.esmm import pairs_by_step
from tierrec_core.protocols.model import Training
from tierrec_core.settings import SyntheticSource, TierSettings
from tierrec_core.sources import synthetic
from tierrec_core.tiers import Tiering

CONFIG = Multitask.Config(epochs=15, embedding_size=8, hidden_size=16, users_per_batch=8, learning_rate=0.01)
ALL = np.tile(np.arange(NUM_ITEMS), (60, 1))


@pytest.fixture(scope="module")
def cut(interactions):
    return interactions.now - 28.0


@pytest.fixture(scope="module")
def past(interactions, cut):
    return interactions.before(cut)


@pytest.fixture(scope="module")
def model(training, past, items):
    """Knows nothing of the last 28 days."""
    tiering = Tiering.fit(past, items, TierSettings(num_layers=4), seed=0)
    return Multitask.fit(dataclasses.replace(training, history=past, tiering=tiering), CONFIG)


@pytest.fixture(scope="module")
def future(interactions, cut):
    return interactions.where(interactions.day >= cut)


def test_order_of_purchases_to_come(model, past, future):
    bought = future.binary_matrix().toarray().ravel()
    assert roc_auc_score(bought, model.score_candidates(past, ALL).ravel()) > 0.7


def test_probabilities_are_calibrated(model, past, future):
    """Most pairs are not bought, and most of those are never sampled; the mean must agree all the same."""
    rate = future.binary_matrix().toarray().mean()
    assert model.score_candidates(past, ALL).mean() == pytest.approx(rate, rel=0.2)


def test_coupon_is_never_likelier_than_purchase(model, past):
    purchase, coupon = np.moveaxis(model.probabilities(past, ALL), -1, 0)
    assert (coupon <= purchase).all()
    assert (coupon > 0).all()


def test_share_of_coupons_is_found(model, past):
    """One purchase in ten of the made world is with a coupon, whoever buys whatever."""
    purchase, coupon = np.moveaxis(model.probabilities(past, ALL), -1, 0)
    assert 0.05 < coupon.sum() / purchase.sum() < 0.2


def test_padding_and_order_of_candidates(model, past):
    candidates = np.array([[3, -1, 17], [17, 3, -1]])
    two = past.select_users(np.array([8, 8]))
    scores = model.score_candidates(two, candidates)
    assert np.isneginf(scores[[0, 1], [1, 2]]).all()
    np.testing.assert_allclose(scores[0, [0, 2]], scores[1, [1, 0]], rtol=1e-5)
    np.testing.assert_allclose(scores[0, [0, 2]], model.score_candidates(past, ALL)[8, [3, 17]], rtol=1e-4)


def test_empty_and_unseen_histories(model, past):
    candidates = np.arange(NUM_ITEMS)[None]
    empty = model.score_candidates(Interactions.from_history([], past.items, past.now), candidates)
    fan = model.score_candidates(Interactions.from_history(["i20", "i21", "i20"], past.items, past.now), candidates)
    assert np.isfinite(empty).all()
    assert fan[0, 20:30].mean() > 2 * fan[0, :20].mean()
    assert model.probabilities(past, np.full((60, 2), -1)).sum() == 0


def test_pair_features_against_a_loop(interactions):
    user, item = np.array([0, 7, 59, 59]), np.array([3, 30, 31, 0])
    features = pair_features(interactions, user, item)
    for row, u, i in zip(features, user, item, strict=True):
        age = interactions.age[(interactions.user == u) & (interactions.item == i)]
        np.testing.assert_allclose(row[1], np.log1p(sum(0.5 ** (age / 30.0))), rtol=1e-5)
        np.testing.assert_allclose(row[3], np.log1p(len(age)), rtol=1e-6)
        np.testing.assert_allclose(row[4], 1 / (1 + min(age)) if len(age) else 0, rtol=1e-4)


@pytest.fixture(scope="module")
def browsed():
    """The made shop, where most of what is looked at is put aside, and most of that bought."""
    source = SyntheticSource(num_users=80, num_items=60, num_categories=4, days=168, drift_day=None)
    log = synthetic.make_synthetic_world(source, seed=0).log
    history = Interactions.from_events(log.events[log.events["event"] != "redeem"])
    items = log.items.set_index("item_id", drop=False).loc[history.items].reset_index(drop=True)
    tiering = Tiering.fit(history, items, TierSettings(num_layers=4), seed=0)
    return Training(history=history, items=items, tiering=tiering, target=("purchase",), seed=0)


def test_a_funnel_of_views_carts_and_purchases(browsed):
    """Each step is rarer than the one before, as often as in the log, and purchases are in the order to come."""
    history = browsed.history
    past = history.before(history.now - 28.0)
    config = CONFIG.model_copy(update={"funnel": ("view", "cart", "purchase"), "structure": "ple"})
    model = Multitask.fit(dataclasses.replace(browsed, history=past), config)
    everything = np.tile(np.arange(history.num_items), (history.num_users, 1))
    chances = model.probabilities(past, everything)
    assert (np.diff(chances, axis=-1) <= 0).all()
    came = history.where(history.day >= past.now)
    rates = [came.filter_events(step).binary_matrix().mean() for step in config.funnel]
    np.testing.assert_allclose(chances.mean(axis=(0, 1)), rates, rtol=0.25)
    scores = model.score_candidates(past, everything)
    np.testing.assert_array_equal(scores, chances[..., 2])
    assert roc_auc_score(came.filter_events("purchase").binary_matrix().toarray().ravel(), scores.ravel()) > 0.8


@pytest.mark.parametrize("composition", ["conditional", "independent"])
@pytest.mark.parametrize("structure", ["shared_bottom", "single"])
def test_other_structures_find_the_order_and_the_rate(training, past, future, structure, composition):
    update = {"structure": structure, "composition": composition, "weighting": "uncertainty"}
    model = Multitask.fit(dataclasses.replace(training, history=past), CONFIG.model_copy(update=update))
    chances = model.probabilities(past, ALL)
    bought, coupon = future.binary_matrix().toarray(), future.where(future.coupon).binary_matrix().toarray()
    assert roc_auc_score(bought.ravel(), chances[..., 0].ravel()) > 0.7
    np.testing.assert_allclose(chances.mean(axis=(0, 1)), [bought.mean(), coupon.mean()], rtol=0.5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"funnel": ["view", "kart"]}, "step 'kart' is unknown"),
        ({"funnel": ["view", "view"]}, "each step once"),
        ({"funnel": ["coupon"]}, "wanted each step once, and a coupon after its step"),
        ({"structure": "single"}, "composition to conditional or independent"),
    ],
)
def test_a_config_that_cannot_be_is_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        Multitask.Config(**options)


def test_a_later_step_counts_for_those_before(interactions):
    """Nobody of the tiny world viewed anything, but who bought something must have."""
    viewed, bought = pairs_by_step(interactions, ("view", "purchase"), ("purchase",))
    np.testing.assert_array_equal(viewed, bought)
    user, item = interactions.unique_pairs()
    np.testing.assert_array_equal(bought, user * NUM_ITEMS + item)
    with_coupon = interactions.where(interactions.coupon)
    _, used = pairs_by_step(interactions, ("target", "coupon"), ("purchase",))
    np.testing.assert_array_equal(used, np.flatnonzero(with_coupon.binary_matrix().toarray()))
