"""The monitor's look measures what a retrain of this project would gain, and its record and page say so."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from flows.loop.monitor import challenger_on_trial
from flows.project.champion import pointer_path
from services.deployment.bento_store import BUNDLE
from services.releases import pointer as pointers
from services.releases.manifest import SmokeReport
from tests.integration.flows.loop.test_faults_clocks import NEWEST, NOW, look, open_shop
from tests.support.drift_world import CUT, DriftWorld, made, moved_to
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import read_settings

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=5)


def set_params(shop: Path, **params: Any) -> None:
    path, yaml = shop / "params.yaml", YAML()
    changed = yaml.load(path.read_text()) | params
    with path.open("w") as stream:
        yaml.dump(changed, stream)


def test_a_look_records_what_is_lost_without_a_retrain(tmp_path: Path, world: DriftWorld) -> None:
    shop = open_shop(tmp_path / "shop", world, world.events)
    set_params(shop, retrain={"worth": 2.5})
    record = look(shop, NOW)
    assert record is not None
    canary, loss = record["value"]["canary"], record["value"]["loss"]
    assert (canary["cut"], canary["newer"], canary["end"]) == (CUT, NEWEST - 7, NEWEST)
    assert canary["num_users"] > 50
    days = NEWEST - 7 - CUT  # that the newer model has and the champion's has not
    assert loss["value"] == pytest.approx(days * canary["gain"]["value"])
    assert loss["low"] < 0 < loss["high"]  # nothing moved in this world
    (sentence,) = [reason for reason in record["reasons"] if reason.startswith("without a retrain ")]
    assert sentence.endswith("; a retrain is worth 2.5")
    assert "Lost without a retrain</dt>" in (shop / "data/loop/index.html").read_text()


def test_a_new_champion_has_its_first_look_before_a_further_day(tmp_path: Path, world: DriftWorld) -> None:
    events = world.events[world.events["timestamp"] < from_days(CUT + 2)]  # of which the last is not yet complete
    shop = open_shop(tmp_path / "shop", world, events)
    record = look(shop, NOW)
    assert record is not None
    assert (record["state"], record["act"], record["window_end"]) == ("steady", "none", CUT)
    assert "what a retrain would gain is not known" in "".join(record["reasons"])


def test_a_look_starts_no_retrain_while_a_challenger_is_being_rolled_out(tmp_path: Path, world: DriftWorld) -> None:
    everyone = pd.Index(world.events["user_id"].unique())
    shop = open_shop(tmp_path / "shop", world, moved_to(world, everyone, "category 3", 0.5, np.random.default_rng(1)))
    set_params(shop, retrain={"worth": 1e-6})  # the canary does not contradict the drift
    layout = Layout(shop)
    champion = SmokeReport.read(layout.bento)
    artifacts.save(world.reference, layout.bento_home / "models/model/1" / BUNDLE / "reference")
    pointers.deploy(pointer_path(layout), champion, 0.0)
    pointers.deploy(pointer_path(layout), champion.model_copy(update={"tag": "tierrec:2", "model": "model:2"}), 0.1)
    record = look(shop, NOW)
    assert record is not None
    assert (record["state"], record["act"]) == ("drift", "wait")
    assert record["reasons"][0].startswith("tierrec:2 is being rolled out")
    settings, changed = read_settings(layout.params), pointers.Pointer.read(pointer_path(layout)).changed
    limit = timedelta(hours=settings.rollout.max_hours)
    assert challenger_on_trial(layout, settings, changed + 0.99 * limit) == "tierrec:2"
    assert challenger_on_trial(layout, settings, changed + limit) == "", "a rollout without a result blocks no retrain"
