"""The bundle ranks the same for a batch, a known user and a visitor, and survives disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bundles import BLOCKED
from tierrec_core.base.artifacts import sha256
from tierrec_core.base.errors import ArtifactError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.user_states import UserStates


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


def test_discovery_lists_no_seen_item(bundle: Bundle):
    listed = bundle.recommend("discovery", bundle.history, 10).items
    seen = bundle.history.matrix().toarray() > 0
    user, position = np.nonzero(listed >= 0)
    assert len(user) > 0
    assert not seen[user, listed[user, position]].any()


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_a_blocked_item_is_in_no_list(bundle: Bundle, task: str):
    blocked = bundle.history.items.get_loc(BLOCKED)
    assert blocked in bundle.candidates("next", bundle.history).item
    assert blocked not in bundle.recommend(task, bundle.history, 40).items


def test_explanations_add_up_to_the_score(bundle: Bundle):
    history = bundle.history_of("u10")
    assert history is not None
    ranked = bundle.recommend("next", history, 5)
    explained = bundle.explain("next", history, ranked.items[0])
    np.testing.assert_allclose([sum(shares.values()) for shares in explained], ranked.scores[0], atol=1e-5)


@pytest.mark.parametrize("stored", [False, True])
def test_reranked_candidates_have_the_scores_of_the_list(bundle: Bundle, stored: bool):
    states = UserStates.of(bundle.models, bundle.history)
    for row in (0, 17, 59):
        history = bundle.history.select_users(np.array([row]))
        candidates = bundle.candidates("next", history)
        columns = np.random.default_rng(row).permutation(candidates.item)
        scores = bundle.rerank("next", history, columns, states.row(row) if stored else None)
        ranked = bundle.recommend("next", history, 8)
        np.testing.assert_array_equal(columns[np.lexsort((columns, -scores))][:8], ranked.items[0])
        np.testing.assert_allclose(np.sort(scores)[::-1][:8], ranked.scores[0], rtol=1e-5)


def test_reranking_looks_at_nothing_but_the_given_items(bundle: Bundle):
    history, columns = bundle.history.select_users(np.array([23])), np.array([31, -1, 8, 3, -1, 14])
    scores = bundle.rerank("next", history, columns)
    assert np.isneginf(scores[[1, 4]]).all()
    assert scores[3] == -np.inf  # i03 is blocked
    assert np.isfinite(scores[[0, 2, 5]]).all()
    np.testing.assert_array_equal(bundle.rerank("next", history, columns[::-1]), scores[::-1])
    assert bundle.rerank("next", history, columns[:0]).shape == (0,)
    assert np.isfinite(bundle.rerank("next", bundle.visitor([]), columns)[[0, 2, 5]]).all()


def test_an_empty_history_is_answered(bundle: Bundle):
    ranked = bundle.recommend("next", bundle.visitor([]), 5)
    assert (ranked.items[0] >= 0).all()
    assert bundle.tiering.assign(bundle.visitor([])).tolist() == [0]


def test_it_survives_disk_and_the_same_bundle_gives_the_same_bytes(bundle: Bundle, tmp_path: Path):
    bundle.save(tmp_path / "one")
    again = Bundle.load(tmp_path / "one")
    again.save(tmp_path / "two")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert all(sha256(tmp_path / "one" / path) == sha256(tmp_path / "two" / path) for path in files)
    pd.testing.assert_frame_equal(again.items, bundle.items)
    np.testing.assert_array_equal(
        again.recommend("next", again.history, 10).items, bundle.recommend("next", bundle.history, 10).items
    )


@pytest.mark.parametrize("header", ['{"kinds": {}, "surfaces": {}}', "[]"])
def test_a_bundle_of_another_version_is_to_be_packaged_again(bundle: Bundle, tmp_path: Path, header: str):
    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / "bundle.json").write_text(header)
    with pytest.raises(ArtifactError, match=r"bundle\.json: lacks .*run the package stage again"):
        Bundle.load(tmp_path / "bundle")


def test_a_missing_part_is_named(bundle: Bundle, tmp_path: Path):
    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / "models" / "ease" / "meta.json").unlink()
    with pytest.raises(ArtifactError, match="ease"):
        Bundle.load(tmp_path / "bundle")
