"""prefect.yaml: what it names is there, each pool has what it needs, and only one event starts a retrain."""

import ast
from pathlib import Path
from typing import Any

import pytest
from prefect.events import DeploymentTriggerTypes
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from flows.stack.plan import POOLS
from tests.support.projects import ROOT

DEPLOYMENTS: dict[str, dict[str, Any]] = {
    one["name"]: one for one in YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
}
SET_FOLDER = "prefect.deployments.steps.set_working_directory"


def flows_of(path: Path) -> dict[str, str]:
    """The names that Prefect gives to a file's flows, by function."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        for one in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(one, ast.Call) and ast.unparse(one.func) == "flow":
                names = [ast.literal_eval(word.value) for word in one.keywords if word.arg == "name"]
                found[node.name] = names[0]
    return found


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_entrypoint_is_a_flow(name: str):
    entrypoint = DEPLOYMENTS[name]["entrypoint"]
    path, _, function = entrypoint.rpartition(":")
    if not path:
        module, _, function = entrypoint.rpartition(".")
        path = module.replace(".", "/") + ".py"
    assert flows_of(ROOT / path)[function] == ("run-stage" if name == "stage" else name)


def test_all_pools_are_those_of_the_stack():
    assert {one["work_pool"]["name"] for one in DEPLOYMENTS.values()} == set(POOLS)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_only_runs_of_the_gpu_pool_stay_out_of_the_project(name: str):
    steps = DEPLOYMENTS[name]["pull"]
    assert steps, "without a step Prefect makes one that changes into the folder that was deployed from"
    in_project = [step[SET_FOLDER] for step in steps if SET_FOLDER in step]
    expected = [] if DEPLOYMENTS[name]["work_pool"]["name"] == "gpu" else [{"directory": "{{ $TIERREC_ROOT }}"}]
    assert in_project == expected


def test_what_runs_by_the_clock_can_be_told_not_to_and_never_runs_twice_at_once():
    scheduled = {name: one for name, one in DEPLOYMENTS.items() if one.get("schedules")}
    assert set(scheduled) == {"train", "monitor", "rollout", "reap", "clean"}
    for one in scheduled.values():
        assert [schedule["active"] for schedule in one["schedules"]] == ["{{ $TIERREC_SCHEDULES }}"]
        assert one["concurrency_limit"]["limit"] == 1


def test_drift_alone_triggers_and_it_triggers_one_retrain_at_a_time():
    triggered = {name: one["triggers"] for name, one in DEPLOYMENTS.items() if one.get("triggers")}
    assert set(triggered) == {"retrain"}
    (spec,) = triggered["retrain"]
    trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(spec | {"name": "retrain"})
    assert trigger.expect == {"tierrec.drift.detected"}
    assert trigger.threshold == 1
    assert DEPLOYMENTS["retrain"]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
