"""The tiny world of conftest.py as a project whose stages have run up to evaluate, so that it can be packaged."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from flows.deps import rewrite
from tests.conftest import make_events
from tests.project import ROOT
from tierrec_core import artifacts
from tierrec_core.contracts import USERS
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings, read_settings

MODELS = ("popularity", "repeat", "ease")
_WINDOWS = {"horizon_days": 14, "windows": 2, "step_days": 14}
PARAMS: dict[str, Any] = {
    "split": {"by": {"kind": "time", "cut": 0.8}, "min_users_per_item": 2},
    "tasks": {"next": _WINDOWS | {"repeats": True}, "discovery": _WINDOWS | {"repeats": False}},
    "tiers": {"num_layers": 4, "bootstraps": 3},
    "models": {name: {"kind": name} for name in MODELS},
    "blend": {task: {"num_trees": 20} for task in ("next", "discovery")},
    "evaluate": {"bootstraps": 20},
    "package": {"smoke_users": 20},
}


def judged_project(folder: Path, items: pd.DataFrame, **params: Any) -> tuple[Layout, Settings]:
    """Run split to evaluate in the folder; params replace sections of params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = Layout(folder)
    with layout.params.open("w") as stream:
        YAML().dump(PARAMS | params, stream)
    settings = read_settings(layout.params)
    events = make_events()
    users = pd.DataFrame({"user_id": events["user_id"].unique()})
    artifacts.write_frame(events, layout.prepared_events)
    artifacts.write_frame(items, layout.raw_items)
    artifacts.write_frame(USERS.conform(users, "tests"), layout.raw_users)
    for stage in ("split", "tier", *(f"train {name}" for name in MODELS), "retrieve", "blend", "evaluate"):
        module, *names = stage.split()
        importlib.import_module(f"tierrec_core.stages.{module}").run(layout, settings, *names)
    return layout, settings


def add_code(folder: Path) -> None:
    """Put our own rooms, graph and constraints into a project, as a clone would have them."""
    for room in ("tierrec_core", "services"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "constraints.txt", folder)
    (folder / "dvc.yaml").write_text(rewrite((ROOT / "dvc.yaml").read_text()))
