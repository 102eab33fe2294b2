"""`tierrec simulate` on the log of a project: the costs of all policies, printed, as JSON and on the loop's page."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from flows.loop.loop_state import LoopState
from flows.loop.pages import write_history
from monitoring.simulation.policies import POLICIES
from monitoring.simulation.replay import Replay, ReplayClock
from monitoring.simulation.world import project_world
from tests.support.commands import tierrec
from tests.support.projects import tiered_project
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import to_days
from tierrec_core.settings import MonitorSettings, RetrainSettings, read_settings

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
    assert (told["log"], told["change"], told["fresh"]) == ("the project's log", "", True)
    page = (project.loop / "index.html").read_text()
    assert 'id="policies"' in page
    for name in costs:
        assert f'<th scope="row">{name}</th>' in page
        assert name in said


def test_a_damaged_comparison_leaves_the_page_without_it(project: Layout, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for text in ("{bad", '{"policies": []}', "[]"):
        layout.policies.parent.mkdir(parents=True, exist_ok=True)
        layout.policies.write_text(text)
        assert 'id="policies"' not in write_history(LoopState(layout)).read_text()


@pytest.mark.parametrize("policy", ["ours", "monthly"])
def test_a_policy_is_followed_and_written_as_json(project: Layout, policy: str) -> None:
    arguments = ("--policy", policy, "--every", "28", "--shift", "collapse_few", "--share", "0.3")
    said = tierrec("simulate", *arguments, "--json", "told.json", folder=project.root)
    told = json.loads((project.root / "told.json").read_text())
    assert "tier few" in said
    assert (told["policy"], len(told["steps"])) == (policy, 1)


@pytest.mark.parametrize("month", ["1", "4", "7"])
def test_a_shift_before_the_first_model_or_after_the_last_evaluation_is_refused(project: Layout, month: str) -> None:
    with pytest.raises(SettingsError, match=r"--month: the shift would be on day \d+ of the log, wanted one from 59"):
        tierrec("simulate", "--shift", "interests", "--month", month, "--every", "14", folder=project.root)


def test_json_into_a_folder_that_does_not_exist_is_refused_at_once(project: Layout) -> None:
    with pytest.raises(SettingsError, match="its folder does not exist"):
        tierrec("simulate", "--json", "missing/told.json", folder=project.root)


def test_the_worth_of_a_retrain_is_the_projects(project: Layout) -> None:
    world = project_world(project, read_settings(project.params))
    clock, monitor = ReplayClock(world.start + 59, 14, 3), MonitorSettings(past_windows=2, permutations=199)
    retrains = [
        Replay(replace(world, retrain=RetrainSettings(worth=worth)), clock, monitor, 1).run(POLICIES["ours"])
        for worth in (0.0001, 1e9)
    ]
    values = [step.decision.drift_decision.value for result in retrains for step in result.steps]
    assert {value.worth for value in values if value} == {0.0001, 1e9}


def test_a_task_without_repeats_is_judged_by_new_items_alone(project: Layout) -> None:
    world = project_world(project, read_settings(project.params))
    world = replace(world, task=replace(world.task, repeats=False))
    replay = Replay(world, ReplayClock(world.start + 59, 14, 3), MonitorSettings(), 1)
    tick = replay.clock.ticks[0]
    quality = replay.quality(replay.clock.start, tick)
    table = world.events.assign(day=to_days(world.events["timestamp"]))
    seen = set(zip(*(table.loc[table["day"] < tick, name] for name in ("user_id", "item_id")), strict=True))
    later = table[(table["day"] >= tick) & (table["day"] < tick + 14) & (table["event"] == "purchase")]
    fresh = {user for user, item in zip(later["user_id"], later["item_id"], strict=True) if (user, item) not in seen}
    assert set(world.log.users[quality.users]) == fresh & {user for user, _ in seen}
    assert quality.ndcg.mean() > 0


def test_weeks_without_a_purchase_are_no_end_of_a_replay(project: Layout) -> None:
    world = project_world(project, read_settings(project.params))
    day = to_days(world.events["timestamp"])
    quiet = replace(world, events=world.events[(day < world.start + 73) | (day >= world.start + 87)])
    result = Replay(quiet, ReplayClock(world.start + 59, 14, 3), MonitorSettings(), 1).run(POLICIES["monthly"])
    assert [len(step.quality.users) > 0 for step in result.steps] == [False, True, True]


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
