"""A contest on a judged project: it finds what the evaluate stage found, and frozen lists are the shelves' lists."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.deployment.package import write_bundle
from tests.support.packaged_project import judged_project
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.model_comparison import contest, frozen_lists
from tierrec_core.bundle.precomputed import FOLDER
from tierrec_core.bundle.user_tables import RankedLists
from tierrec_core.settings import Settings
from tierrec_core.tiers import TIER_NAMES


@pytest.fixture(scope="module")
def project(tmp_path_factory, items: pd.DataFrame) -> tuple[Layout, Settings]:
    layout, settings = judged_project(tmp_path_factory.mktemp("judged"), items)
    write_bundle(layout, settings)
    return layout, settings


def test_it_finds_the_figures_of_metrics_json(project: tuple[Layout, Settings], tmp_path: Path):
    layout, settings = project
    bundle, metrics = Bundle.load(layout.bundle), artifacts.read_json(layout.metrics)
    events, start = artifacts.read_frame(layout.prepared_events, EVENTS), bundle.history.now
    found = contest(bundle, bundle, events, start, start + 14, settings.gate, main="next", seed=0)
    assert list(found.tasks) == ["next", "discovery"]
    for task, scores in found.tasks.items():
        wanted = metrics[task]["blend"]
        assert len(scores.champion) == wanted["users"]
        assert round(scores.champion.mean(), 6) == wanted["ndcg@10"]
        for code, name in enumerate(TIER_NAMES):
            tier = wanted["by_tier"].get(name)
            assert (scores.tier == code).sum() == (tier["users"] if tier else 0)
    report = found.judge(settings.gate, np.random.default_rng(0)).report()
    assert report["verdict"] == "no change"
    artifacts.write_json(report, tmp_path / "gate.json")
    assert json.loads((tmp_path / "gate.json").read_text()) == report


def test_frozen_lists_are_the_shelves(project: tuple[Layout, Settings]):
    layout, _ = project
    bundle = Bundle.load(layout.bundle)
    for task in bundle.tasks:
        shelf = RankedLists.load(layout.bundle / FOLDER / "shelves" / task)
        frozen = frozen_lists(bundle, task, 10).groupby("user_id")["item_id"].apply(list)
        assert len(frozen) == len(shelf) > 50
        for row, user in enumerate(bundle.history.users):
            assert frozen[user] == [bundle.history.items[column] for column in shelf.row(row)[0][:10]]
