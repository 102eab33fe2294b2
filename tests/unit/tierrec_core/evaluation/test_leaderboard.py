"""The leaderboard in a world where one model knows everything and one knows nothing."""

import json

import numpy as np
import pytest

from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.leaderboard import evaluate_models, tabulate
from tierrec_core.evaluation.metrics import Truth
from tierrec_core.settings import EvaluateSettings

NUM_USERS, NUM_ITEMS = 40, 60
TIERS = ("light", "medium", "heavy")


@pytest.fixture
def truth():
    user = np.repeat(np.arange(NUM_USERS - 4), 5)
    return Truth.of(user, (user + np.tile(np.arange(5), NUM_USERS - 4)) % 30, NUM_ITEMS)


@pytest.fixture
def lists():
    start = np.arange(NUM_USERS)[:, None]
    perfect, half = (start + np.arange(20)) % 30, (start + 3 + np.arange(20)) % 30
    return {"half": half, "blend": perfect, "nothing": np.tile(np.arange(40, 60), (NUM_USERS, 1))}


def board(lists, truth, baseline=None, tier=None, seed=0):
    tier = np.arange(NUM_USERS) % 2 * 2 if tier is None else tier
    settings = EvaluateSettings(bootstraps=200)
    return evaluate_models(lists, truth, (tier, TIERS), settings, np.random.default_rng(seed), baseline)


def test_perfect_and_useless_models_are_known(lists, truth):
    found = board(lists, truth)
    assert found["blend"]["ndcg@10"] == found["blend"]["recall@20"] == 1.0
    assert found["blend"]["ndcg@10_ci"] == [1.0, 1.0]
    assert found["nothing"]["hit@10"] == found["nothing"]["mrr@20"] == 0.0
    assert found["half"]["recall@10"] == pytest.approx(0.4)
    assert found["nothing"]["coverage@20"] == pytest.approx(20 / 60, abs=1e-6)
    assert found["blend"]["users"] == NUM_USERS - 4


def test_the_best_single_model_is_the_baseline(lists, truth):
    found = board(lists, truth)
    assert {block["delta_ndcg@10"]["against"] for block in found.values()} == {"half"}
    assert found["half"]["delta_ndcg@10"] == {"against": "half", "value": 0.0, "ci": [0.0, 0.0]}
    gain = found["blend"]["delta_ndcg@10"]
    assert gain["value"] == pytest.approx(1.0 - found["half"]["ndcg@10"], abs=1e-6)


def test_a_named_baseline_is_obeyed_unless_it_scores_0(lists, truth):
    assert board(lists, truth, "blend")["half"]["delta_ndcg@10"]["against"] == "blend"
    assert board(lists, truth, "nothing")["blend"]["delta_ndcg@10"]["against"] == "half"
    with pytest.raises(SettingsError, match=r"evaluate\.baseline: 'absent'.*half"):
        board(lists, truth, "absent")


def test_tiers_partition_the_users(lists, truth):
    found = board(lists, truth)["half"]
    assert list(found["by_tier"]) == ["light", "heavy"]
    parts = list(found["by_tier"].values())
    assert sum(part["users"] for part in parts) == found["users"]
    mean = sum(part["users"] * part["ndcg@10"] for part in parts) / found["users"]
    assert mean == pytest.approx(found["ndcg@10"], abs=1e-5)


def test_renumbered_users_have_the_same_figures(lists, truth):
    order = np.random.default_rng(1).permutation(NUM_USERS)
    place = np.argsort(order)
    moved = {name: items[order] for name, items in lists.items()}
    tier = (np.arange(NUM_USERS) % 2 * 2)[order]
    before = board(lists, truth)["half"]
    after = board(moved, Truth.of(place[truth.user], truth.item, NUM_ITEMS), tier=tier)["half"]
    for name in ("ndcg@10", "recall@20", "mrr@10", "coverage@10", "users"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    assert after["by_tier"]["heavy"]["ndcg@10"] == pytest.approx(before["by_tier"]["heavy"]["ndcg@10"], abs=1e-6)


def test_the_same_seed_gives_the_same_text(lists, truth):
    shuffle = np.random.default_rng(2)
    lists = lists | {"random": shuffle.permuted(np.tile(np.arange(NUM_ITEMS), (NUM_USERS, 1)), axis=1)[:, :20]}
    first, second, other = (json.dumps(board(lists, truth, seed=seed)) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_tables_hold_every_figure(lists, truth):
    blocks = board(lists, truth)
    overall, tiers = tabulate({"next": blocks})
    assert len(overall) == 3 * 2 * 5
    assert len(tiers) == 3 * 2 * 2
    row = overall.set_index(["model", "metric"]).loc[("half", "ndcg@10")]
    assert [row["value"], row["lo"], row["hi"]] == [blocks["half"]["ndcg@10"], *blocks["half"]["ndcg@10_ci"]]
