"""Interest layers: shares and lift against brute force, taste groups found again, raw rates shown to fail."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering
from tierrec_core.tiers.interest_layers import InterestLayers


def fit(history, items, num_layers: int = 4) -> InterestLayers:
    return InterestLayers.fit(history, items, num_layers, np.random.default_rng(0))


def test_each_category_is_a_layer_where_there_are_few(interactions, items) -> None:
    layers = fit(interactions, items)
    assert layers.names == ("group 0", "group 1", "group 2", "group 3")
    np.testing.assert_array_equal(layers.content, np.arange(40) // 10)


def test_interests_equal_a_plain_loop(interactions, items) -> None:
    layers = fit(interactions, items)
    found = layers.interests(interactions)
    for user in range(60):
        own = [layers.content[item] for item in interactions.item[interactions.user == user]]
        wanted = [(own.count(layer) + 5 * layers.share[layer]) / (len(own) + 5) for layer in range(4)]
        np.testing.assert_allclose(found[user], wanted)


def test_lift_equals_a_plain_loop(interactions, items) -> None:
    layers = fit(interactions, items)
    interests, met = layers.interests(interactions), interactions.binary_matrix().toarray()
    for item in range(40):
        group = [other for other in range(40) if other // 10 == item // 10]
        group_total = sum(met[:, other] @ interests for other in group) + layers.share
        profile = group_total / (met[:, group].sum() + 1)
        rate = (met[:, item] @ interests + 100 * profile) / (met[:, item].sum() + 100)
        np.testing.assert_allclose(layers.lift[item], rate / layers.share, rtol=1e-5)


def test_finer_categories_join_by_who_buys_them(interactions, items) -> None:
    finer = items.assign(category=[f"c{item // 2}" for item in range(40)])
    assert adjusted_rand_score(fit(interactions, finer).content, np.arange(40) // 10) == 1.0


def test_raw_rate_puts_all_in_the_biggest_layer_and_lift_does_not() -> None:
    """Everybody buys mostly bread; 30 users also some tea and 30 some wine, 4 of 14 events."""
    rows = [
        (f"u{user:02d}", f"{kind}{n % 5}", kind)
        for user in range(60)
        for kind, times in (("bread", 10), ("tea" if user < 30 else "wine", 4))
        for n in range(user, user + times)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "category"])
    frame["timestamp"], frame["event"] = pd.Timestamp("2024-01-01", tz="UTC"), "purchase"
    history = Interactions.from_events(EVENTS.conform(frame, "tests"))
    kind = np.array([item[:-1] for item in history.items])
    tiering = Tiering.fit(history, pd.DataFrame({"category": kind}), TierSettings(), seed=0)
    raw_rate = tiering.layers.lift * tiering.layers.share
    layer = np.array(tiering.layers.names)
    assert set(layer[raw_rate.argmax(axis=1)]) == {"bread"}
    assert set(layer[tiering.item_layer[kind == "tea"]]) == {"tea"}
    assert set(layer[tiering.item_layer[kind == "wine"]]) == {"wine"}


def test_brands_stand_in_for_missing_categories(interactions, items) -> None:
    layers = fit(interactions, items.assign(category=pd.NA))
    assert (layers.basis, layers.names) == ("brand", ("brand 0", "brand 1", "brand 2"))


def test_without_attributes_cooccurrence_finds_the_taste_groups(interactions, items) -> None:
    layers = fit(interactions, items.assign(category="unknown", brand=pd.NA))
    assert layers.basis == "co-occurrence"
    often = np.bincount(interactions.item) >= 20
    assert adjusted_rand_score(layers.content[often], (np.arange(40) // 10)[often]) > 0.9


@given(chosen=st.lists(st.integers(0, 39), max_size=50))
def test_interests_of_any_visitor_sum_to_one(training, chosen: list[int]) -> None:
    history = training.history
    visitor = Interactions.from_history(history.items[chosen], history.items, history.now)
    interests = training.tiering.interests_of(visitor)
    np.testing.assert_allclose(interests.sum(axis=1), 1.0)
    assert (interests > 0).all()


def test_an_empty_history_has_everybodys_interests(training) -> None:
    visitor = Interactions.from_history([], training.history.items, training.history.now)
    np.testing.assert_allclose(training.tiering.interests_of(visitor)[0], training.tiering.layers.share)


def test_the_same_seed_gives_the_same_tiering(interactions, items) -> None:
    finer = items.assign(category=[f"c{item // 2}" for item in range(40)])
    one, two = (Tiering.fit(interactions, finer, TierSettings(), seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.layers.lift, two.layers.lift)
    assert one.layers.names == two.layers.names


def test_capitals_are_not_shouted_and_other_names_are_left_alone(interactions, items) -> None:
    loud = items["category"].where(items["category"] != "group 1", "FRZN MEAT/DINNERS")
    layers = fit(interactions, items.assign(category=loud))
    assert layers.names == ("Frzn meat/dinners", "group 0", "group 2", "group 3")
