"""Curves read back with TensorBoard's and Weights & Biases' own readers; a fit is the same with and without them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from tests.support.projects import tiered_project
from tierrec_core.base.errors import SettingsError
from tierrec_core.models import registry
from tierrec_core.models.symmetric_mf import SymmetricMf
from tierrec_core.neural.tracking import record_metrics
from tierrec_core.neural.trainer import TrainerConfig, reproducible, shuffled_batches, to_tensor, train_network
from tierrec_core.settings import Settings, SplitSettings, TaskSettings, TrackingSettings, WandbSettings, parse
from tierrec_core.stages import train
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tracking.training_curves import TrainingRun, recording

CONFIG = SymmetricMf.Config(embedding_size=4, epochs=3)
EPOCHS = 5


def run_in(folder: Path) -> TrainingRun:
    return TrainingRun("symmetric_mf", "2017-11-01", CONFIG, folder)


def loss_curve() -> list[float]:
    """Fit a line to noise and return its loss curve."""
    rng = np.random.default_rng(0)
    x, noise = to_tensor(rng.normal(size=(64, 1))), to_tensor(rng.normal(size=(64, 1)))
    with reproducible(0):
        line = nn.Linear(1, 1).to(x.device)
        return train_network(
            line,
            lambda rows: (line(x[rows]) - 3 * x[rows] - noise[rows]).square().mean(),
            lambda: shuffled_batches(64, 16, np.random.default_rng(0)),
            TrainerConfig(epochs=EPOCHS, learning_rate=0.1, weight_decay=0.0),
            name="line",
        )


def events_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_reads_the_returned_loss_curve(tmp_path: Path) -> None:
    with recording(run_in(tmp_path / "curves"), TrackingSettings()):
        curve = loss_curve()
    read = events_of(tmp_path / "curves")
    points = read.Scalars("loss/train")
    assert [point.step for point in points] == list(range(1, EPOCHS + 1))
    np.testing.assert_allclose([point.value for point in points], curve, rtol=1e-6)
    assert read.Scalars("learning_rate")[0].value == pytest.approx(0.1)
    assert all(point.value > 0 for point in read.Scalars("seconds"))


def test_tensorboard_reads_the_options_with_the_final_metrics(tmp_path: Path) -> None:
    with recording(run_in(tmp_path), TrackingSettings()):
        curve = loss_curve()
    read = events_of(tmp_path)
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(read.summary_metadata)
    stored = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"embedding_size" in stored
    assert read.Scalars("last/loss/train")[0].value == pytest.approx(curve[-1])


def test_a_second_fit_replaces_the_curves_of_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        with recording(run_in(tmp_path / "curves"), TrackingSettings()):
            loss_curve()
    assert len(events_of(tmp_path / "curves").Scalars("loss/train")) == EPOCHS


def test_an_interrupted_fit_keeps_its_curve(tmp_path: Path) -> None:
    def interrupted() -> None:
        with recording(run_in(tmp_path), TrackingSettings()):
            record_metrics(1, {"loss/train": 0.5})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [point.value for point in events_of(tmp_path).Scalars("loss/train")] == [0.5]
    record_metrics(2, {"loss/train": 0.4})  # no listener is set any more
    assert len(events_of(tmp_path).Scalars("loss/train")) == 1


def test_a_model_without_a_curve_leaves_no_files(training, tmp_path: Path) -> None:
    kind, config = registry.configure("popularity", {})
    with recording(TrainingRun("popularity", "now", config, tmp_path / "curves"), TrackingSettings()):
        kind.fit(training, config)
    assert not (tmp_path / "curves").exists()


def test_recording_does_not_change_the_fit(training, tmp_path: Path) -> None:
    alone = SymmetricMf.fit(training, CONFIG)
    with recording(run_in(tmp_path), TrackingSettings()):
        watched = SymmetricMf.fit(training, CONFIG)
    assert all(alone.weights[name].tobytes() == watched.weights[name].tobytes() for name in alone.weights)


def test_the_stage_writes_the_curves_of_each_fit(events, items, tmp_path: Path) -> None:
    settings = Settings(
        split=SplitSettings(by={"kind": "time", "cut": 0.8}, min_users_per_item=2),
        tasks={"next": TaskSettings(windows=1)},
        models={"popularity": {}, "small": {"kind": "symmetric_mf", "embedding_size": 4, "epochs": 2}},
    )
    layout = tiered_project(tmp_path, events, items, settings)
    for name in settings.models:
        train.run(layout, settings, name)
    places = [place.model("small", "").iterdir() for place in layout.evaluation_and_production]
    fitted = {path.name for place in places for path in place if path.name != layout.production.fits}
    assert read_split(layout.production).final.name in fitted
    assert {path.name for path in layout.training.iterdir()} == {"small"}
    assert {path.name for path in (layout.training / "small").iterdir()} == fitted
    for snapshot in fitted:
        assert len(events_of(layout.training / "small" / snapshot).Scalars("loss/train")) == 2


@pytest.mark.slow
def test_weights_and_biases_reads_the_curve_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package, offline: its own reader finds the metrics in the run folder."""
    wandb = pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    monkeypatch.setenv("WANDB_MODE", "offline")
    with recording(run_in(tmp_path), TrackingSettings(wandb=WandbSettings(project="shop"))):
        curve = loss_curve()
    wandb.teardown()  # its service writes the last of the file as it ends
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    store, losses, projects = DataStore(), [], set()
    store.open_for_scan(str(log))
    while (data := store.scan_data()) is not None:
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(data)
        if entry.HasField("run"):
            projects.add(entry.run.project)
        losses += [float(one.value_json) for one in entry.history.item if "loss/train" in (one.key, *one.nested_key)]
    np.testing.assert_allclose(losses, curve, rtol=1e-6)
    assert projects == {"shop"}


def test_the_vendors_are_not_imported_before_the_first_metric() -> None:
    code = "import sys, tierrec_core.neural.trainer; assert not {'tensorboard', 'wandb'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wandb_is_a_closed_block_of_params() -> None:
    block = {"tasks": {"next": {}}, "models": {}, "tracking": {"wandb": {"project": "tierrec"}}}
    assert parse(Settings, block, "params.yaml").tracking.wandb == WandbSettings(project="tierrec", mode="offline")
    block["tracking"] = {"wandb": {"mode": "on"}}
    with pytest.raises(SettingsError, match=r"tracking\.wandb\.mode"):
        parse(Settings, block, "params.yaml")
