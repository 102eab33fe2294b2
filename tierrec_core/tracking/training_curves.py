"""Writes training curves as TensorBoard event files and, if tracking.wandb is set, to Weights & Biases.

A stage opens `recording`; the training loop calls `tracking.record_metrics`. Both libraries are imported only here and
only with the first metric.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tierrec_core.base.errors import SettingsError
from tierrec_core.neural.tracking import Metrics, use_listener
from tierrec_core.settings import Params, TrackingSettings, WandbSettings

_WANDB_SETTINGS = {
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


@dataclass(frozen=True)
class TrainingRun:
    """One fit of a model on a snapshot with its config, and the folder for its curves."""

    model: str
    snapshot: str
    config: Params
    folder: Path

    @property
    def options(self) -> dict[str, bool | int | float | str]:
        """The config as both libraries accept it: values other than numbers and text become text."""
        values = self.config.model_dump(mode="json").items()
        return {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in values}


class _TensorBoard:
    """Event file with a curve per metric, and the options with the final metrics (HParams)."""

    def __init__(self, run: TrainingRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._writer = run, SummaryWriter(str(run.folder))

    def write(self, step: int, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self, last: Metrics) -> None:
        from torch.utils.tensorboard.summary import hparams

        final = {f"last/{name}": value for name, value in last.items()}
        for summary in hparams(self._run.options, final):
            self._writer.file_writer.add_summary(summary)
        self.write(0, final)
        self._writer.close()


class _Wandb:
    """Weights & Biases run in the same folder, without details of the machine."""

    def __init__(self, run: TrainingRun, settings: WandbSettings) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise SettingsError(
                "params.yaml: tracking.wandb is set and wandb is not installed; run `pip install 'tierrec[wandb]'` "
                "or remove tracking.wandb"
            ) from error
        try:
            self._run = wandb.init(
                project=settings.project,
                entity=settings.entity,
                mode=settings.mode,
                dir=str(run.folder),
                name=f"{run.model}-{run.snapshot}",
                group=run.model,
                config=run.options,
                settings=wandb.Settings(**_WANDB_SETTINGS),
            )
        except wandb.Error as error:
            raise SettingsError(
                f"params.yaml: tracking.wandb: mode {settings.mode!r} could not start a run ({error}); "
                "set WANDB_API_KEY, or use mode: offline"
            ) from error

    def write(self, step: int, metrics: Metrics) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self, last: Metrics) -> None:  # noqa: ARG002  Weights & Biases keeps the last of each by itself
        self._run.finish()


@contextlib.contextmanager
def recording(run: TrainingRun, tracking: TrackingSettings) -> Iterator[None]:
    """Write the metrics recorded within the context to the run's folder; without any, the folder is unchanged.

    The first metric deletes the curves of an earlier fit, which TensorBoard would append to. Raises SettingsError where
    Weights & Biases is configured but not installed or cannot start a run.
    """
    writers: list[_TensorBoard | _Wandb] = []
    last: dict[str, float] = {}

    def write(step: int, metrics: Metrics) -> None:
        if not writers:
            shutil.rmtree(run.folder, ignore_errors=True)
            run.folder.mkdir(parents=True)
            writers.append(_TensorBoard(run))
            if tracking.wandb:
                writers.append(_Wandb(run, tracking.wandb))
        last.update(metrics)
        for writer in writers:
            writer.write(step, metrics)

    try:
        with use_listener(write):
            yield
    finally:
        for writer in writers:
            writer.close(last)
