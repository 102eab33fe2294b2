"""Funnel statistics against plain loops, and a synthetic shop in which carts are bought and views are not."""

import numpy as np
import pandas as pd
import pytest

from tests.support.plain_histories import plain_training
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.funnel_ranker import _PRIOR_USERS, TARGET, Behaviours, FunnelRanker, FunnelStats

NUM_USERS, NUM_ITEMS = 150, 30
STEPS = ("view", "cart")


def make_shop(seed: int = 0) -> tuple[Interactions, np.ndarray, np.ndarray, np.ndarray]:
    """Views, carts and purchases: 0.7 of the carts and 0.05 of the other views are bought."""
    rng = np.random.default_rng(seed)
    viewed = rng.random((NUM_USERS, NUM_ITEMS)) < 0.4
    carted = viewed & (rng.random(viewed.shape) < 0.3)
    bought = viewed & (rng.random(viewed.shape) < np.where(carted, 0.7, 0.05))
    parts = []
    for name, matrix in (("view", viewed), ("cart", carted), ("purchase", bought)):
        user, item = np.nonzero(matrix)
        ids = {"user_id": [f"u{one:03}" for one in user], "item_id": [f"i{one:02}" for one in item]}
        parts.append(pd.DataFrame(ids | {"event": name, "timestamp": pd.Timestamp("2024-01-01", tz="UTC")}))
    events = EVENTS.conform(pd.concat(parts), "test")
    ids = (
        pd.Index([f"{letter}{one:0{width}}" for one in range(size)], dtype=object)
        for letter, width, size in (("u", 3, NUM_USERS), ("i", 2, NUM_ITEMS))
    )
    users, items = ids
    return Interactions.from_events(events, users=users, items=items), viewed, carted, bought


def fit(history: Interactions, num_trees: int = 40) -> FunnelRanker:
    config = FunnelRanker.Config(num_trees=num_trees, min_data_in_leaf=20)
    return FunnelRanker.fit(plain_training(history), config)


def test_open_pairs_have_a_step_and_no_purchase():
    history, viewed, carted, bought = make_shop()
    user, item = Behaviours.read(history, STEPS, ("purchase",)).open_pairs()
    found = np.zeros((NUM_USERS, NUM_ITEMS), bool)
    found[user, item] = True
    np.testing.assert_array_equal(found, (viewed | carted) & ~bought)


def test_rates_are_shares_of_buyers_smoothed_towards_all_items():
    history, viewed, carted, bought = make_shop()
    rate = FunnelStats.fit(Behaviours.read(history, STEPS, ("purchase",)), neighbours=NUM_ITEMS).rate
    for code, state in ((1, viewed & ~carted), (3, viewed & carted)):
        overall = (state & bought).sum() / state.sum()
        expected = ((state & bought).sum(axis=0) + _PRIOR_USERS * overall) / (state.sum(axis=0) + _PRIOR_USERS)
        np.testing.assert_allclose(rate[code], expected, rtol=1e-5)


def test_similarity_is_the_cosine_of_the_items_users():
    history, viewed, _, bought = make_shop()
    funnel = FunnelStats.fit(Behaviours.read(history, STEPS, ("purchase",)), neighbours=NUM_ITEMS)
    expected = viewed.T.astype(float) @ bought / np.sqrt(np.outer(viewed.sum(axis=0) + 1, bought.sum(axis=0) + 1))
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(funnel.similarity[f"view>{TARGET}"].toarray(), expected, rtol=1e-4, atol=1e-6)


def test_hidden_purchases_of_the_cart_rank_before_views():
    history, _, carted, bought = make_shop()
    rng = np.random.default_rng(1)
    hidden = np.zeros_like(bought)
    for user in range(NUM_USERS):
        choice = np.flatnonzero(bought[user])
        if len(choice) > 1:
            hidden[user, rng.choice(choice)] = True
    purchase = history.filter_events("purchase").event[0]
    left = history.where(~((history.event == purchase) & hidden[history.user, history.item]))
    scores = fit(left).score_catalogue(left)
    ranks, chance = [], []
    for user, item in zip(*np.nonzero(hidden), strict=True):
        open_ = np.flatnonzero((carted[user] | (scores[user] >= 1.0)) & ~(bought & ~hidden)[user])
        ranks.append((scores[user, open_] > scores[user, item]).sum())
        chance.append((len(open_) - 1) / 2)
    assert np.mean(ranks) < 0.5 * np.mean(chance)


@pytest.mark.parametrize("trees", [0, 40])
def test_open_pairs_rank_first(trees: int):
    history, viewed, carted, bought = make_shop()
    scores = fit(history, trees).score_catalogue(history)
    open_pairs = (viewed | carted) & ~bought
    assert scores[open_pairs].min() >= 1.0 > scores[~open_pairs].max()
