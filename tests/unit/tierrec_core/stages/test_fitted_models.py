"""Which fit a snapshot may use: never one that is younger than itself."""

import numpy as np
import pandas as pd
import pytest

from tests.support.projects import tiered_project
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.models.popularity import Popularity
from tierrec_core.settings import Params, Settings, SplitSettings, TaskSettings, TimeSplit
from tierrec_core.stages import train
from tierrec_core.stages.inputs.fitted_models import fitted_snapshots, read_model


class Slow(Params):
    refit: bool = False


SETTINGS = Settings(
    split=SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2),
    tasks={"next": TaskSettings(windows=3)},
    models={"popularity": {"kind": "popularity"}},
)


@pytest.fixture(scope="module")
def layout(events: pd.DataFrame, items: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = tiered_project(tmp_path_factory.mktemp("project"), events, items, SETTINGS)
    train.run(layout, SETTINGS, "popularity")
    return layout


def test_a_slow_model_is_fitted_at_the_oldest_and_at_the_final_snapshot(events: pd.DataFrame):
    log = SplitLog.cut(events, SETTINGS.split, SETTINGS.tasks)
    names = [snapshot.name for snapshot in log.snapshots]
    assert len(names) == 4
    assert fitted_snapshots(Popularity.Config(), log) == names
    assert fitted_snapshots(Slow(), log) == [names[0], names[-1]]


def test_each_snapshot_has_the_model_of_what_was_known_then(layout: Layout, events: pd.DataFrame):
    log = SplitLog.cut(events, SETTINGS.split, SETTINGS.tasks)
    for snapshot in log.snapshots:
        model = read_model(layout, SETTINGS, log, "popularity", snapshot.name)
        history = log.history(snapshot.name)
        recent = np.bincount(history.item[history.age <= 14], minlength=history.num_items)
        np.testing.assert_allclose(model.score_catalogue(history)[0], recent / recent.sum(), rtol=1e-6)


def test_an_unknown_model_is_named(layout: Layout):
    with pytest.raises(SettingsError, match=r"no model 'popularty' in params\.yaml; known are popularity"):
        train.run(layout, SETTINGS, "popularty")
