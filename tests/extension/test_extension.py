"""One extension of each kind, added to a copy of the code in at most two files, works where docs/extending.md says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from services.deployment.package import write_bundle
from tests.support.packaged_project import PARAMS, judged_project
from tests.support.projects import ENV, ROOT
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

MAX_FILES = 2
PACKAGES = ("tierrec_core", "monitoring", "services")

MODEL = '''"""Recency of each item's last event, the same for all users."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params


@dataclass(frozen=True)
class LastEvent:
    """recency: 1 for an event now, towards 0 with its age in days, [I]"""

    recency: FloatArray

    class Config(Params):
        """half_life_days: age at which recency is one half."""

        half_life_days: float = 7.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Take each item's newest event."""
        history = training.history
        age = np.full(history.num_items, np.inf)
        np.minimum.at(age, history.item, history.age)
        return cls((0.5 ** (age / config.half_life_days)).astype(np.float32))

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Recency of each item, [U, I]."""
        return np.tile(self.recency, (history.num_users, 1))
'''

SURFACE = """
import contextlib, json, sys
from pathlib import Path
from tests.support.open_shops import OWN, Opener, ids
with contextlib.closing(Opener(Path(sys.argv[1]), {OWN: Path(sys.argv[2])})) as opener:
    shop = opener()
    print(json.dumps([ids(shop.recommend(user_id="u59", surface=name)) for name in ("products", "cheap")]))
"""

DRIFT_TEST = """
from tests.support.drift_world import made
print({finding.family for finding in made(1).verdict().findings})
"""


@pytest.fixture
def project(tmp_path: Path, items: pd.DataFrame) -> Layout:
    """A trained project with its own copy of the code."""
    layout, _ = judged_project(tmp_path / "project", items)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, layout.root / package, ignore=shutil.ignore_patterns("*.pyc.*"))
    return layout


def extend(project: Layout, changes: Mapping[str, str | tuple[str, str]]) -> None:
    """Change files of the project's code: a text is a new file, a pair is a text there and what takes its place."""
    assert len(changes) <= MAX_FILES
    for name, change in changes.items():
        path = project.root / name
        if isinstance(change, str):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change)
        else:
            text, (old, new) = path.read_text(), change
            assert text.count(old) == 1, f"{path}: {old!r} stands there {text.count(old)} times"
            path.write_text(text.replace(old, new))


def set_params(project: Layout, **sections: Any) -> None:
    with project.params.open("w") as stream:
        YAML().dump(PARAMS | sections, stream)


def python(project: Layout, *arguments: str | Path) -> str:
    """Run Python with the project's code before ours."""
    env = ENV | {"PYTHONPATH": os.pathsep.join((str(project.root), str(ROOT)))}
    command = [sys.executable, *map(str, arguments)]
    ran = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def run_stages(project: Layout, *stages: str) -> None:
    for stage in stages:
        python(project, "-m", "tierrec_core", *stage.split())


def boards(project: Layout) -> dict[str, Any]:
    """metrics.json's leaderboards by task."""
    metrics = json.loads(project.metrics.read_text())
    return {name: board for name, board in metrics.items() if name not in ("tiers", "audit")}


def test_a_model_is_trained_and_judged(project: Layout) -> None:
    first = "KINDS: Mapping[str, str] = {\n"
    extend(
        project,
        {
            "tierrec_core/models/last_event/__init__.py": MODEL,
            "tierrec_core/models/registry.py": (
                first,
                first + '    "last_event": "tierrec_core.models.last_event:LastEvent",\n',
            ),
        },
    )
    set_params(project, models=PARAMS["models"] | {"last_event": {"kind": "last_event", "half_life_days": 3}})
    run_stages(project, "train last_event", "retrieve", "blend", "evaluate")
    assert all("last_event" in board for board in boards(project).values())


def test_a_source_is_read(project: Layout) -> None:
    union = "Source = Annotated[CompleteJourneySource | "
    settings = """class JsonLinesSource(_AnySource):
    kind: Literal["json_lines"] = "json_lines"
    path: str


"""
    reader = """import pandas as pd

from tierrec_core.sources.frames import SourceFrames


def read_json_lines(source, root, seed):
    events = pd.read_json(root / source.path, lines=True)
    return SourceFrames.of(events, events[["item_id"]].drop_duplicates(), where=source.path)
"""
    extend(
        project,
        {
            "tierrec_core/settings/data/__init__.py": (union, settings + union + "JsonLinesSource | "),
            "tierrec_core/sources/json_lines.py": reader,
        },
    )
    events = pd.read_parquet(project.prepared_events).head(50)[["user_id", "item_id", "event", "timestamp"]]
    events.to_json(project.root / "log.jsonl", orient="records", lines=True, date_format="iso", date_unit="ns")
    set_params(project, source={"kind": "json_lines", "path": "log.jsonl"})
    run_stages(project, "ingest")
    read = pd.read_parquet(project.raw_events)[list(events)]
    order = ["timestamp", "user_id", "item_id"]
    assert read.sort_values(order).to_numpy().tolist() == events.sort_values(order).to_numpy().tolist()


@pytest.mark.slow
def test_a_metric_is_in_the_leaderboard(project: Layout) -> None:
    path = project.root / "tierrec_core/evaluation/metrics.py"
    path.write_text(path.read_text().replace('"mrr", "hit")', '"mrr", "hit", "precision")'))
    last = '        "hit": hits.max'
    extend(project, {"tierrec_core/evaluation/metrics.py": (last, '        "precision": hits.mean(axis=1),\n' + last)})
    run_stages(project, "evaluate")
    for board in boards(project).values():
        assert 0 < board["blend"]["precision@10"] <= 1


@pytest.mark.slow
def test_tasks_and_tiers_are_those_of_params(project: Layout) -> None:
    tasks = {"week": {"horizon_days": 7, "windows": 2, "step_days": 14, "repeats": True}}
    tiers = PARAMS["tiers"] | {"names": ["seldom", "often"], "quantiles": [0.5]}
    set_params(project, tasks=tasks, tiers=tiers, blend={"week": {"num_trees": 20}})
    models = [f"train {name}" for name in PARAMS["models"]]
    run_stages(project, "split", "tier", *models, "retrieve", "blend", "evaluate")
    assert boards(project).keys() == {"week"}
    assert boards(project)["week"]["blend"]["by_tier"].keys() == {"seldom", "often"}


@pytest.mark.slow
def test_a_data_rule_sends_rows_to_quarantine(project: Layout) -> None:
    first = "        *filled,\n"
    rule = """        _row("no_test_users", "ExpectColumnValuesToNotMatchRegex", "not u59", "drop these rows",
             {"column": "user_id", "regex": "^u59$"}),
"""
    extend(project, {"monitoring/data_gate/expectations.py": (first, first + rule)})
    events = pd.read_parquet(project.prepared_events)
    artifacts.write_frame(events, project.raw_events)
    set_params(project, validate={"max_bad_share": 1.0, "max_duplicate_share": 1.0, "max_quiet_days_share": 1.0})
    python(project, "-m", "monitoring", "validate")
    quarantine = pd.read_parquet(project.quarantine)
    assert set(quarantine["reason"]) == {"no_test_users"}
    assert len(quarantine) == (events["user_id"] == "u59").sum()


def test_a_drift_test_gives_findings(project: Layout) -> None:
    test, limit = "    yield _volume(before, after)\n", '    "volume": (0.05, 0.30),\n'
    family = """
    days = [(window.events > 0).astype(float)[:, None] for window in (before, after)]
    yield PairedComparison("active", ("active users",), *days, np.ones(len(pair.tier)), "share")
"""
    extend(
        project,
        {
            "monitoring/drift/statistics/paired_tests.py": (test, test + family),
            "monitoring/drift/statistics/effect_limits.py": (limit, limit + limit.replace("volume", "active")),
        },
    )
    assert "'active'" in python(project, "-c", DRIFT_TEST)


@pytest.mark.slow
def test_a_surface_answers(project: Layout) -> None:
    first = '        "ads": lambda'
    page = """        "cheap": lambda: build_page(
            context, strategies, only=context.model.catalogue.frame["price"].to_numpy(float) <= 10
        ),
"""
    extend(
        project,
        {
            "services/schemas.py": ('"onboarding", "rank"]', '"onboarding", "rank", "cheap"]'),
            "services/recommend/surfaces.py": (first, page + first),
        },
    )
    write_bundle(project, read_settings(project.params))
    products, cheap = json.loads(python(project, "-c", SURFACE, project.root / "state", project.bundle))
    assert any(int(item[1:]) > 9 for item in products)
    assert cheap
    assert all(int(item[1:]) <= 9 for item in cheap)
