"""A shop whose users' interests move after its champion was trained: a project with the log until then, and the rest of
the events to be posted."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from services.store import NewEvent, Store
from tests.support.once import once
from tests.support.projects import command, synthetic_project
from tierrec_core.settings import SyntheticSource
from tierrec_core.sources import synthetic

KNOWN_DAYS, DAYS, SEED = 150, 180, 3
LAUNCHED = 3  # every third item comes to the shop after its champion was trained
WORLD = SyntheticSource(
    num_users=300, num_items=120, num_categories=8, days=DAYS, drift_day=KNOWN_DAYS, drift_share=0.7
)
LOG, ITEMS = "log.parquet", "items.parquet"
PARAMS: dict[str, Any] = {
    "source": {
        "kind": "files",
        "feedback": True,
        "paths": [LOG],
        "columns": {name: name for name in ("event", "value", "quantity", "channel")} | {"session": "session_id"},
        "items_path": ITEMS,
        "item_columns": {name: name for name in ("title", "category", "brand", "price")},
    },
    "split": {"by": {"kind": "time", "cut": "last 14 days"}, "min_users_per_item": 2, "target": ["purchase"]},
    "monitor": {"window_days": 28, "past_windows": 8},
    "rollout": {"share": 0.5, "max_hours": 0},
}


def drifting_shop(folder: Path, gate: Mapping[str, Any]) -> pd.DataFrame:
    """Make the project, run and deployed; the EVENTS that are to be posted, oldest first.

    It is made once in a test run and copied afterwards. gate: section of params.yaml
    """
    copy_shop(folder)
    configure(folder, gate=gate)
    return later_events()


def copy_shop(folder: Path) -> None:
    """The project as `tierrec run` and `tierrec deploy` left it; data/said.txt is what the run said."""
    shutil.copytree(once(folder, "drifting-shop", deploy_shop), folder, symlinks=True)


def later_events() -> pd.DataFrame:
    """The EVENTS after the shop's log, oldest first."""
    events = synthetic.make_synthetic_world(WORLD, SEED).log.events
    return events[~_known(events)].sort_values("timestamp", ignore_index=True)


def deploy_shop(folder: Path) -> None:
    """Make the project in the folder, run it and deploy its Bento."""
    synthetic_project(folder)
    log = synthetic.make_synthetic_world(WORLD, SEED).log
    known = _known(log.events)
    launched = log.events["item_id"].isin(log.items["item_id"][::LAUNCHED])
    known_log = log.events[known & ~launched]
    known_log.to_parquet(folder / LOG)
    log.items.to_parquet(folder / ITEMS)
    configure(folder, **PARAMS)
    (folder / ".gitignore").write_text(
        "/data/**\n!/data/feedback/\n/data/feedback/*\n!/data/feedback/.gitkeep\n__pycache__/\n.bentoml/\n.prefect/\n"
    )
    for words in ("add -A", "-c user.name=shop -c user.email=shop@localhost commit -qm shop"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    ran = command(folder, "tierrec", "run", timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (folder / "data" / "said.txt").write_text(ran.stdout + ran.stderr)
    command(folder, "tierrec", "deploy").check_returncode()


def _known(events: pd.DataFrame) -> pd.Series:
    return events["timestamp"] < events["timestamp"].min().normalize() + pd.Timedelta(days=KNOWN_DAYS)


def batches(events: pd.DataFrame, size: int = 500) -> Iterator[dict[str, Any]]:
    """The bodies of POST /events that tell a shop of these EVENTS."""
    names = ["user_id", "item_id", "event", "timestamp", "value", "quantity", "session_id", "channel"]
    rows = json.loads(events[names].to_json(orient="records", date_format="iso"))
    whole = [
        {"key": f"posted-{place}"} | {name: value for name, value in row.items() if value is not None}
        for place, row in enumerate(rows)
    ]
    for start in range(0, len(whole), size):
        yield {"events": whole[start : start + size]}


def configure(folder: Path, **sections: Mapping[str, Any]) -> None:
    """Replace these sections of the project's params.yaml."""
    path, yaml = folder / "params.yaml", YAML()
    params = yaml.load(path.read_text())
    params.update(sections)
    with path.open("w") as stream:
        yaml.dump(params, stream)


def tell(folder: Path, events: pd.DataFrame) -> None:
    """Put EVENTS into the shop's store, as the service does; what EVENTS lack is unknown."""
    (folder / "data/serving").mkdir(parents=True, exist_ok=True)
    store = Store.open(f"sqlite:///{folder / 'data/serving/feedback.db'}")
    rows = events.reindex(columns=[*events, *{"session_id", "value"}.difference(events)]).astype(object)
    store.add_events(
        [
            NewEvent(
                key=f"{row.user_id} {row.item_id} {row.timestamp} {place}",
                user_id=row.user_id,
                item_id=row.item_id,
                event=row.event,
                timestamp=row.timestamp.to_pydatetime().astimezone(UTC),
                session_id=None if pd.isna(row.session_id) else row.session_id,
                value=None if pd.isna(row.value) else float(row.value),
            )
            for place, row in enumerate(rows.itertuples(index=False))
        ]
    )
    store.close()
