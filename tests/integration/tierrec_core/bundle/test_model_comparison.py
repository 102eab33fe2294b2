"""A comparison on an evaluated project repeats metrics.json, and precomputed lists are those of the bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.deployment.package import write_bundle
from tests.support.packaged_project import judged_project
from tierrec_core.base import artifacts, memmap
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import GateError
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import EVALUATED, Bundle, load_evaluated
from tierrec_core.bundle.model_comparison import compare_models
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
    bundle, metrics = load_evaluated(layout.bundle), artifacts.read_json(layout.metrics)
    events, start = artifacts.read_frame(layout.prepared_events, EVENTS), bundle.history.now
    found = compare_models(bundle, bundle, events, start, start + 14, settings.gate, main="next", seed=0)
    assert list(found.tasks) == ["next", "discovery"]
    for task, scores in found.tasks.items():
        wanted = metrics[task]["blend"]
        assert len(scores.champion) == wanted["users"]
        assert round(scores.champion.mean(), 6) == wanted["ndcg@10"]
        for code, name in enumerate(TIER_NAMES):
            tier = wanted["by_tier"].get(name)
            assert (scores.tier == code).sum() == (tier["users"] if tier else 0)
    report = found.check(settings.gate, np.random.default_rng(0)).report()
    assert report["verdict"] == "no change"
    artifacts.write_json(report, tmp_path / "gate.json")
    assert json.loads((tmp_path / "gate.json").read_text()) == report


def test_what_is_served_is_never_compared_on_days_that_it_has_seen(project: tuple[Layout, Settings], tmp_path: Path):
    layout, settings = project
    served, evaluated = Bundle.load(layout.bundle), load_evaluated(layout.bundle)
    events, start = artifacts.read_frame(layout.prepared_events, EVENTS), evaluated.history.now
    for champion, challenger in ((served, evaluated), (evaluated, served)):
        with pytest.raises(GateError, match="trained"):
            compare_models(champion, challenger, events, start, start + 14, settings.gate, main="next", seed=0)
    shutil.copytree(layout.bundle, tmp_path / "former", ignore=shutil.ignore_patterns(EVALUATED))
    assert load_evaluated(tmp_path / "former").history.now == served.history.now, "version 0.1 served what it evaluated"


def test_precomputed_lists_are_those_of_the_bundle(project: tuple[Layout, Settings]):
    layout, _ = project
    bundle = Bundle.load(layout.bundle)
    for task in bundle.tasks:
        lists = memmap.map_arrays(RankedLists, layout.bundle / FOLDER / "ranked_lists" / task)
        ranked = bundle.recommend(task, bundle.history, 10).items
        assert len(lists.items) == len(ranked) > 50
        for row, items in enumerate(ranked):
            assert lists.row(row)[0][:10].tolist() == items[items >= 0].tolist()
