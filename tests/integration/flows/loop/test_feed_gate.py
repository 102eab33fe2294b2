"""A retrain is refused while the newest window has faults of the feed, and says how to go on."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from flows.loop.feed_gate import require_sound_feed
from monitoring.simulation.catalogue_faults import rename_categories
from monitoring.simulation.fault_period import FaultPeriod
from tests.integration.flows.loop.test_faults_clocks import NOW, open_shop
from tests.support.drift_world import CUT, WIDTH, DriftWorld, made
from tierrec_core.base import artifacts
from tierrec_core.base.errors import GateError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=5)


@pytest.fixture
def shop(tmp_path: Path, world: DriftWorld) -> Layout:
    return Layout(open_shop(tmp_path / "shop", world, world.events))


def rename(shop: Layout, world: DriftWorld) -> None:
    period = FaultPeriod(world.events, world.items, CUT, CUT + WIDTH)
    change = rename_categories(period, np.random.default_rng(1), num=None)
    artifacts.write_frame(change.items, shop.root / "items.parquet")


def test_a_sound_window_and_a_project_without_a_champion_pass(shop: Layout, tmp_path: Path) -> None:
    settings = read_settings(shop.params)
    require_sound_feed(shop, settings, NOW)
    require_sound_feed(Layout(tmp_path / "empty"), settings, NOW)


def test_a_fault_refuses_until_it_is_repaired_or_accepted(shop: Layout, world: DriftWorld) -> None:
    rename(shop, world)
    with pytest.raises(GateError, match="data fault: categories were renamed") as refused:
        require_sound_feed(shop, read_settings(shop.params), NOW)
    assert "tierrec add --replace" in str(refused.value)
    assert "monitor.accepted_faults (taxonomy)" in str(refused.value)
    yaml = YAML()
    params = yaml.load(shop.params.read_text())
    params["monitor"]["accepted_faults"] = ["taxonomy"]
    with shop.params.open("w") as stream:
        yaml.dump(params, stream)
    require_sound_feed(shop, read_settings(shop.params), NOW)
