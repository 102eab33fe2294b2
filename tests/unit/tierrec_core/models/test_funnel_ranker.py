"""The funnel's facts against plain loops, and a made shop in which carts are bought and looks are not."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.funnel_ranker import FunnelRanker
from tierrec_core.models.funnel_ranker.funnel import _PRIOR, TAKEN, Behaviours, Funnel
from tierrec_core.protocols.model import Training
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering

NUM_USERS, NUM_ITEMS = 150, 30
STEPS = ("view", "cart")


def made(seed: int = 0) -> tuple[Interactions, np.ndarray, np.ndarray, np.ndarray]:
    """Who viewed, carted and bought what: of what is carted .7 is bought, of what is only viewed .05."""
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


def training_of(history: Interactions) -> Training:
    items = pd.DataFrame({"item_id": history.items, "title": "", "category": "c", "brand": "b", "price": 1.0})
    return Training(
        history, items, Tiering.fit(history, items, TierSettings(num_layers=2), 0), ("purchase",), 0
    )


def fit(history: Interactions, num_trees: int = 40) -> FunnelRanker:
    config = FunnelRanker.Config(num_trees=num_trees, min_data_in_leaf=20)
    return FunnelRanker.fit(training_of(history), config)


def test_half_way_is_what_was_met_and_not_bought():
    history, viewed, carted, bought = made()
    user, item = Behaviours.read(history, STEPS, ("purchase",)).half_way()
    found = np.zeros((NUM_USERS, NUM_ITEMS), bool)
    found[user, item] = True
    np.testing.assert_array_equal(found, (viewed | carted) & ~bought)


def test_rates_are_shares_of_buyers_drawn_to_everybodys():
    history, viewed, carted, bought = made()
    rate = Funnel.measure(Behaviours.read(history, STEPS, ("purchase",)), neighbours=NUM_ITEMS).rate
    for code, state in ((1, viewed & ~carted), (3, viewed & carted)):
        usual = (state & bought).sum() / state.sum()
        wanted = ((state & bought).sum(axis=0) + _PRIOR * usual) / (state.sum(axis=0) + _PRIOR)
        np.testing.assert_allclose(rate[code], wanted, rtol=1e-5)


def test_likeness_is_a_cosine_of_who_did_what():
    history, viewed, _, bought = made()
    funnel = Funnel.measure(Behaviours.read(history, STEPS, ("purchase",)), neighbours=NUM_ITEMS)
    wanted = (
        viewed.T.astype(float) @ bought / np.sqrt(np.outer(viewed.sum(axis=0) + 1, bought.sum(axis=0) + 1))
    )
    np.fill_diagonal(wanted, 0.0)
    np.testing.assert_allclose(funnel.alike[f"view>{TAKEN}"].toarray(), wanted, rtol=1e-4, atol=1e-6)


def test_hidden_purchases_of_the_cart_come_before_looks():
    history, _, carted, bought = made()
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
def test_what_is_half_way_comes_before_all_else(trees: int):
    history, viewed, carted, bought = made()
    scores = fit(history, trees).score_catalogue(history)
    half_way = (viewed | carted) & ~bought
    assert scores[half_way].min() >= 1.0 > scores[~half_way].max()
