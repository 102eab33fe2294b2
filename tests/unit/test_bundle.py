"""The bundle: one object that answers a batch, a known user and a visitor alike, and survives disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tierrec_core import registry
from tierrec_core.artifacts import sha256
from tierrec_core.blend import Blend, retrieve
from tierrec_core.blend.blend import Context, Examples
from tierrec_core.bundle import Bundle, Known, Surface
from tierrec_core.errors import ArtifactError
from tierrec_core.policy import Policy
from tierrec_core.protocol import Training
from tierrec_core.settings import Blend as BlendSettings
from tierrec_core.settings import Policy as PolicySettings
from tierrec_core.settings import Retrieve

KINDS = {"popularity": "popularity", "habit": "repeat", "ease": "ease"}
BLOCKED = "i03"


@pytest.fixture(scope="module")
def bundle(training: Training) -> Bundle:
    cut = training.history.now - 30
    past, later = training.history.before(cut), training.history.where(training.history.day >= cut)
    models = {}
    for name, kind in KINDS.items():
        model, config = registry.configure(name, {"kind": kind})
        models[name] = model.fit(training, config)
    settings = Retrieve(own_items=20, per_model_default=10)
    context = Context.fit(training, ("category",))
    candidates = retrieve(models, past, settings, repeats=True)
    examples = Examples.of(
        context, past, candidates, later.pairs(), negative_share=1.0, rng=np.random.default_rng(0)
    )
    blend = Blend.fit(context, [examples], BlendSettings(num_trees=20, min_data_in_leaf=5), seed=0)
    policy = Policy.fit(training.history, training.items, PolicySettings(blocked_items=(BLOCKED,)))
    return Bundle(
        kinds=KINDS,
        models=models,
        blends={"next": blend, "discovery": blend},
        surfaces={
            "next": Surface(repeats=True, retrieve=settings),
            "discovery": Surface(repeats=False, retrieve=settings),
        },
        known=Known(training.history, policy),
        items=training.items,
    )


def test_a_known_user_gets_the_list_of_the_batch(bundle: Bundle):
    batch = bundle.recommend("next", bundle.history, 10)
    for row in (0, 17, 59):
        history = bundle.history_of(f"u{row:02d}")
        assert history is not None
        np.testing.assert_array_equal(bundle.recommend("next", history, 10).items[0], batch.items[row])


def test_unknown_users_are_none_and_visitors_are_their_history(bundle: Bundle):
    assert bundle.history_of("nobody") is None
    visitor = bundle.visitor(["i10", "i11", "i12", "no such item"])
    assert len(visitor) == 3
    listed = bundle.recommend("next", visitor, 5).items[0]
    assert np.isin(listed, np.arange(10, 20)).mean() >= 0.6


def test_discovery_shows_nothing_met_before(bundle: Bundle):
    listed = bundle.recommend("discovery", bundle.history, 10).items
    met = bundle.history.matrix().toarray() > 0
    user, place = np.nonzero(listed >= 0)
    assert len(user) > 0
    assert not met[user, listed[user, place]].any()


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_a_blocked_item_is_in_no_list(bundle: Bundle, task: str):
    blocked = bundle.history.items.get_loc(BLOCKED)
    assert blocked in bundle.candidates("next", bundle.history).item
    assert blocked not in bundle.recommend(task, bundle.history, 40).items


def test_explanations_add_up_to_the_score(bundle: Bundle):
    history = bundle.history_of("u10")
    assert history is not None
    ranked = bundle.recommend("next", history, 5)
    why = bundle.explain("next", history, ranked.items[0])
    np.testing.assert_allclose([sum(one.values()) for one in why], ranked.scores[0], atol=1e-5)


def test_an_empty_history_is_answered(bundle: Bundle):
    ranked = bundle.recommend("next", bundle.visitor([]), 5)
    assert (ranked.items[0] >= 0).all()
    assert bundle.tier_of(bundle.visitor([])) == "light"


def test_it_survives_disk_and_the_same_bundle_gives_the_same_bytes(bundle: Bundle, tmp_path: Path):
    bundle.save(tmp_path / "one")
    again = Bundle.load(tmp_path / "one")
    again.save(tmp_path / "two")
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert all(sha256(tmp_path / "one" / path) == sha256(tmp_path / "two" / path) for path in files)
    pd.testing.assert_frame_equal(again.items, bundle.items)
    np.testing.assert_array_equal(
        again.recommend("next", again.history, 10).items, bundle.recommend("next", bundle.history, 10).items
    )


def test_a_missing_part_is_named(bundle: Bundle, tmp_path: Path):
    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / "models" / "ease" / "meta.json").unlink()
    with pytest.raises(ArtifactError, match="ease"):
        Bundle.load(tmp_path / "bundle")
