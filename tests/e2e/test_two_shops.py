"""Two shops of one installation, made by `tierrec new` outside of the repository; the platform of one is upgraded."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from flows.deps import ROOMS
from services.deployment.server import bento_to_serve, running_server
from tests.support.drifting_shop import configure
from tests.support.projects import ENV, MODELS, ROOT, command
from tierrec_core.base.paths import Layout
from tierrec_core.settings import SyntheticSource
from tierrec_core.sources import synthetic

pytestmark = pytest.mark.slow


def tierrec(folder: Path, *arguments: str, env: Mapping[str, str] = ENV) -> str:
    done = command(folder, "tierrec", *arguments, timeout=600, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_shop(parent: Path, name: str, seed: int) -> Path:
    """A shop with a champion, from its log as it would come: a file of CSV."""
    tierrec(parent, "new", name)
    shop = parent / name
    world = SyntheticSource(num_users=120, num_items=60, days=120)
    synthetic.make_synthetic_world(world, seed).log.events.to_csv(shop / "log.csv", index=False)
    tierrec(shop, "init", "log.csv", "--yes")
    configure(shop, models={kind: {"kind": kind} for kind in MODELS}, evaluate={"bootstraps": 50}, blend={})
    tierrec(shop / "data", "run")
    tierrec(shop, "deploy")
    return shop


def answer(shop: Path, user: str) -> Any:
    layout = Layout(shop)
    tag = bento_to_serve(layout, layout.serving)
    with running_server(layout.bento_home, tag, folder=layout.serving, quiet=True) as server:
        return httpx.post(f"{server.url}/recommend", json={"user_id": user, "k": 5}).raise_for_status().json()


def test_one_shop_is_upgraded_and_both_champions_serve_on(tmp_path: Path) -> None:
    first, second = (make_shop(tmp_path, name, seed) for seed, name in enumerate(("one shop", "läden"), 1))
    user = pd.read_csv(first / "log.csv")["user_id"][0]
    before = answer(first, user)

    platform = tmp_path / "platform"
    for room in ROOMS:
        shutil.copytree(ROOT / room, platform / room, ignore=shutil.ignore_patterns("*.pyc.*"))
    changed = platform / "tierrec_core/models/ease/__init__.py"
    changed.write_text(changed.read_text() + "\n# a new version\n")
    new_version = ENV | {"PYTHONPATH": os.fspath(platform)}

    said = tierrec(first / "data", "upgrade", env=new_version)
    assert "will run again: train@ease, retrieve, blend, evaluate, report, package" in said
    assert "serves on" in said
    assert "stale: nothing" in tierrec(second / "data" / "models", "status")
    after = answer(first, user)
    assert [item["item_id"] for item in after["items"]] == [item["item_id"] for item in before["items"]]
    assert after["model_version"] == before["model_version"]

    tierrec(first, "run", env=new_version)
    assert "stale: nothing" in tierrec(first, "status", env=new_version)
    assert "train@ease" in tierrec(first, "status"), "the old version would run it again"
    assert answer(second, user)["items"]
