"""`tierrec simulate` on the log of a project: the costs of all policies, printed, as JSON and on the loop's page."""

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from monitoring.simulation.world import project_world
from tests.support.commands import tierrec
from tests.support.projects import tiered_project
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

PARAMS = {
    "source": {"kind": "synthetic"},
    "split": {"by": {"kind": "time", "cut": 0.8}, "min_users_per_item": 2, "target": ["purchase"]},
    "tasks": {"next": {"horizon_days": 14, "repeats": True, "windows": 1, "step_days": 14}},
    "models": {"popularity": {"kind": "popularity"}},
    "tiers": {"names": ["few", "many"], "quantiles": [0.5], "num_layers": 4, "bootstraps": 2},
    "monitor": {"window_days": 14, "past_windows": 2, "permutations": 199},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, events: pd.DataFrame, items: pd.DataFrame) -> Layout:
    folder = tmp_path_factory.mktemp("project")
    YAML().dump(PARAMS, folder / "params.yaml")
    return tiered_project(folder, events, items, read_settings(folder / "params.yaml"))


def test_all_policies_are_compared_on_the_projects_log(project: Layout) -> None:
    said = tierrec("simulate", "--policy", "all", "--every", "14", "--json", "told.json", folder=project.root)
    told = json.loads((project.root / "told.json").read_text())
    costs = {one["policy"]: one for one in told["policies"]}
    assert (costs["never"]["retrains"], costs["always"]["retrains"]) == (0, 3)
    assert costs["always"]["regret"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert costs["never"]["efficient"], "nothing is cheaper"
    assert json.loads(project.policies.read_text()) == told
    page = (project.loop / "index.html").read_text()
    assert 'id="policies"' in page
    for name in costs:
        assert f'<th scope="row">{name}</th>' in page
        assert name in said


def test_a_shift_after_the_end_of_the_log_is_refused(project: Layout) -> None:
    with pytest.raises(SettingsError, match=r"--month: the log has 1\d\d days, none after 196"):
        tierrec("simulate", "--shift", "interests", "--month", "7", "--every", "14", folder=project.root)


def test_a_project_that_has_not_run_is_told_so(tmp_path: Path) -> None:
    YAML().dump(PARAMS, tmp_path / "params.yaml")
    with pytest.raises(ArtifactError, match=r"data/prepared/events\.parquet"):
        tierrec("simulate", folder=tmp_path)


def test_the_world_of_a_project_has_its_task_and_tiers(project: Layout) -> None:
    settings = read_settings(project.params)
    world = project_world(project, settings)
    assert (world.task.target, world.task.repeats) == (settings.split.target, True)
    assert world.tiers.names == ("few", "many")
    assert set(world.events["user_id"]) == {f"u{number:02d}" for number in range(60)}
