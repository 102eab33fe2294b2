"""A world in which vectors follow from attributes, and the ridge's optimum by its normal equations."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.item_content import ContentModel

NUM_ITEMS, HELD, SIZE = 240, 40, 5


def described(rng: np.random.Generator) -> pd.DataFrame:
    """6 categories, 5 brands and 4 words, drawn independently: 120 kinds of items."""
    category, brand, word = (rng.integers(count, size=NUM_ITEMS) for count in (6, 5, 4))
    frame = pd.DataFrame(
        {
            "item_id": [f"i{n:03d}" for n in range(NUM_ITEMS)],
            "title": [f"Thing {'abcd'[one]}" for one in word],
            "category": [f"category {one}" for one in category],
            "brand": [f"brand {one}" for one in brand],
            "price": 2.0 ** rng.integers(0, 3, NUM_ITEMS),
            "maker": [f"{100 + one}" for one in brand],
        }
    )
    return ITEMS.conform(frame, "tests")


def effects(values: pd.Series, size: int, rng: np.random.Generator) -> np.ndarray:
    code = pd.factorize(values)[0]
    return rng.normal(size=(code.max() + 1, size))[code]


def bought(count: np.ndarray, like: Interactions, ids: pd.Series) -> Interactions:
    """A history in which item i has count[i] events of one user."""
    item = np.repeat(np.arange(len(count)), count).astype(np.int32)
    size = len(item)
    fields = ("user", "event", "day", "value", "quantity", "session", "coupon")
    spread = {name: np.resize(getattr(like, name)[:1], size) for name in fields}
    return replace(like, items=pd.Index(ids, dtype=object), item=item, **spread)


@pytest.fixture(scope="module")
def world(interactions: Interactions):
    """Items, their true vectors and their numbers of events; the last 40 items are to be guessed."""
    rng = np.random.default_rng(0)
    items = described(rng)
    vectors = sum(effects(items[name], SIZE, rng) for name in ("category", "brand", "title"))
    count = np.exp(3 + 0.7 * effects(items["category"], 1, rng)[:, 0]).astype(int) + 1
    history = bought(count[:-HELD], interactions, items["item_id"].iloc[:-HELD])
    return items, vectors, count, history


@pytest.fixture(scope="module")
def model(world) -> ContentModel:
    items, vectors, _, history = world
    noise = 0.1 * np.random.default_rng(1).normal(size=(NUM_ITEMS - HELD, SIZE))
    return ContentModel.fit(items.iloc[:-HELD], vectors[:-HELD] + noise, history)


def test_tells_the_vectors_of_items_that_nobody_has_met(world, model: ContentModel) -> None:
    items, vectors, _, _ = world
    told, truth = model.vectors(items.iloc[-HELD:]), vectors[-HELD:]
    cosine = (told * truth).sum(axis=1) / np.linalg.norm(told, axis=1) / np.linalg.norm(truth, axis=1)
    assert cosine.min() > 0.9
    assert ((told - truth) ** 2).mean() < 0.1 * truth.var()


def test_guesses_popularity_as_a_share_of_all_events(world, model: ContentModel) -> None:
    items, _, count, history = world
    guess = model.popularity(items.iloc[-HELD:])
    truth = count[-HELD:] / len(history)
    assert np.corrcoef(np.log(guess), np.log(truth))[0, 1] > 0.95
    np.testing.assert_allclose(guess.sum(), truth.sum(), rtol=0.2)


def test_weights_are_the_ridge_optimum(world, model: ContentModel) -> None:
    """The solution of the normal equations with the least pull, which so little noise asks for; the base is free."""
    items, vectors, count, history = world
    known = items.iloc[:-HELD]
    features = list(model.features.words)
    design = np.ones((len(known), len(features) + 1))
    for row, item in enumerate(known.itertuples()):
        values = [f"price~{2 * np.log2(item.price):.0f}"]
        values += [f"category={item.category}", f"brand={item.brand}", f"maker={item.maker}"]
        own = {"title:thing", f"title:{item.title[-1].lower()}", *values}
        own |= {f"{one}&{other}" for one, other in combinations(values, 2)}
        design[row, :-1] = [feature in own for feature in features]
    noise = 0.1 * np.random.default_rng(1).normal(size=(len(known), SIZE))
    popularity = np.log1p(count[:-HELD])
    target = np.column_stack([vectors[:-HELD] + noise, popularity])
    pull = np.diag([popularity.mean() + 1e-3] * len(features) + [0.0])
    weighted = design * (popularity + 1e-3)[:, None]
    best = np.linalg.lstsq(design.T @ weighted + pull, weighted.T @ target, rcond=None)[0]
    wanted = design @ best
    np.testing.assert_allclose(model.vectors(known), wanted[:, :-1], atol=0.05)
    share = np.expm1(wanted[:, -1]) / len(history)
    np.testing.assert_allclose(model.popularity(known), share, rtol=0.05)


def test_a_pair_of_attributes_tells_what_neither_does(interactions: Interactions) -> None:
    """Vectors are the product of two signs: each sign alone tells nothing of it."""
    rng = np.random.default_rng(3)
    items, sign = described(rng), rng.integers(2, size=(NUM_ITEMS, 2))
    items["category"], items["brand"] = (pd.array(sign[:, one].astype(str), "string") for one in range(2))
    vectors = np.where(sign[:, [0]] == sign[:, [1]], 1.0, -1.0) * np.ones(SIZE)
    history = bought(np.full(NUM_ITEMS - HELD, 5), interactions, items["item_id"].iloc[:-HELD])
    told = ContentModel.fit(items.iloc[:-HELD], vectors[:-HELD], history).vectors(items.iloc[-HELD:])
    assert (np.sign(told) == vectors[-HELD:]).mean() > 0.95


def test_noise_asks_for_a_stronger_pull(world) -> None:
    """Where attributes tell nothing, what they seem to tell is drawn to the mean."""
    items, _, _, history = world
    noise = np.random.default_rng(4).normal(size=(NUM_ITEMS - HELD, SIZE))
    told = ContentModel.fit(items.iloc[:-HELD], noise, history).vectors(items.iloc[-HELD:])
    assert told.std(axis=0).mean() < 0.3


@given(st.text("xyz 12!?", max_size=20), st.sampled_from([-1.0, 0.0, 999.0, None]))
def test_what_is_not_known_changes_nothing(model: ContentModel, text: str, price: float | None) -> None:
    row = {"item_id": "new", "title": text, "category": text, "brand": None, "price": price}
    strange = ITEMS.conform(pd.DataFrame([row | {"vector": [0.5, 0.1]}]), "tests")
    np.testing.assert_array_equal(model.vectors(strange), model.base[None, :-1])


def test_no_items_have_no_vectors(world, model: ContentModel) -> None:
    none = world[0].iloc[:0]
    assert model.vectors(none).shape == (0, SIZE)
    assert model.popularity(none).shape == (0,)


def test_survives_disk(world, model: ContentModel, tmp_path: Path) -> None:
    artifacts.save(model, tmp_path / "content")
    again = artifacts.load(ContentModel, tmp_path / "content")
    np.testing.assert_array_equal(again.vectors(world[0]), model.vectors(world[0]))
    np.testing.assert_array_equal(again.popularity(world[0]), model.popularity(world[0]))
