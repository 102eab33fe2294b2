"""The monitor's look measures what a retrain of this project would gain, and its record and page say so."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.integration.flows.loop.test_faults_clocks import NEWEST, NOW, look, open_shop
from tests.support.drift_world import CUT, made

pytestmark = pytest.mark.medium


def test_a_look_records_what_is_lost_without_a_retrain(tmp_path: Path) -> None:
    world = made(seed=5)
    shop = open_shop(tmp_path / "shop", world, world.events)
    path, yaml = shop / "params.yaml", YAML()
    params = yaml.load(path.read_text())
    params |= {"split": {"by": {"kind": "time", "cut": "last 14 days"}}, "retrain": {"worth": 2.5}}
    with path.open("w") as stream:
        yaml.dump(params, stream)
    record = look(shop, NOW)
    assert record is not None
    canary, loss = record["value"]["canary"], record["value"]["loss"]
    assert (canary["cut"], canary["newer"], canary["end"]) == (CUT, NEWEST - 14, NEWEST)
    assert canary["num_users"] > 50
    days = NEWEST - 14 - CUT  # that the newer model has and the champion's has not
    assert loss["value"] == pytest.approx(days * canary["gain"]["value"])
    assert loss["low"] < 0 < loss["high"]  # nothing moved in this world
    (sentence,) = [reason for reason in record["reasons"] if reason.startswith("without a retrain ")]
    assert sentence.endswith("; a retrain is worth 2.5")
    assert "Lost without a retrain</dt>" in (shop / "data/loop/index.html").read_text()
