"""Curves of a training on disk: always TensorBoard's event files, and Weights & Biases where params.yaml asks for it.

A stage says where (`recording`), the training loop says what (`tracking.record`). The two vendors are imported here
alone, and only when there is a first figure.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from tierrec_core.base.errors import SettingsError
from tierrec_core.neural.tracking import Figures, told_to
from tierrec_core.settings import Params, TrackingSettings, WandbSettings

_UNTOLD = {
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
    """One fit: of which model, as of which snapshot, with which options, and the folder of its curves."""

    model: str
    snapshot: str
    config: Params
    folder: Path

    @property
    def options(self) -> dict[str, bool | int | float | str]:
        """The options as both vendors take them: what is neither number nor text is written out."""
        plain = self.config.model_dump(mode="json")
        return {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in plain.items()
        }


class CurveWriter(Protocol):
    """Where figures go."""

    def write(self, step: int, figures: Figures) -> None:
        """Figures by their names as of an epoch, counted from 1."""
        ...

    def close(self, last: Figures) -> None:
        """The fit is over, or was broken off; `last` are the newest figures."""
        ...


class _TensorBoard:
    """An event file with a curve a figure, and the options beside the last figures (HParams)."""

    def __init__(self, run: TrainingRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._writer = run, SummaryWriter(str(run.folder))

    def write(self, step: int, figures: Figures) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self, last: Figures) -> None:
        from torch.utils.tensorboard.summary import hparams

        metrics = {f"last/{name}": value for name, value in last.items()}
        for summary in hparams(self._run.options, metrics):
            self._writer.file_writer.add_summary(summary)
        self.write(0, metrics)
        self._writer.close()


class _Wandb:
    """A run of Weights & Biases in the same folder. It is told the figures and the options, not the machine."""

    def __init__(self, run: TrainingRun, wanted: WandbSettings) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise SettingsError(
                "params.yaml: tracking.wandb is set and wandb is not installed; run `pip install 'tierrec[wandb]'` "
                "or take tracking.wandb out"
            ) from error
        try:
            self._run = wandb.init(
                project=wanted.project,
                entity=wanted.entity,
                mode=wanted.mode,
                dir=str(run.folder),
                name=f"{run.model}-{run.snapshot}",
                group=run.model,
                config=run.options,
                settings=wandb.Settings(**_UNTOLD),
            )
        except wandb.Error as error:
            raise SettingsError(
                f"params.yaml: tracking.wandb: mode {wanted.mode!r} did not begin a run ({error}); "
                "set WANDB_API_KEY, or take mode: offline"
            ) from error

    def write(self, step: int, figures: Figures) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, last: Figures) -> None:  # noqa: ARG002  Weights & Biases keeps the last of each by itself
        self._run.finish()


@dataclass
class CurveRecorder:
    """The writers of one run, opened at the first figure: a model without a curve leaves nothing."""

    run: TrainingRun
    tracking: TrackingSettings
    _writers: list[CurveWriter] = field(default_factory=list)
    _last: dict[str, float] = field(default_factory=dict)

    def write(self, step: int, figures: Figures) -> None:
        """Hand the figures to every writer."""
        if not self._writers:
            self._open()
        self._last |= figures
        for writer in self._writers:
            writer.write(step, figures)

    def _open(self) -> None:
        """An earlier fit's curves make way: TensorBoard would draw both as one."""
        shutil.rmtree(self.run.folder, ignore_errors=True)
        self.run.folder.mkdir(parents=True)
        self._writers.append(_TensorBoard(self.run))
        if self.tracking.wandb:
            self._writers.append(_Wandb(self.run, self.tracking.wandb))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for writer in self._writers:
            writer.close(self._last)


@contextlib.contextmanager
def recording(run: TrainingRun, tracking: TrackingSettings) -> Iterator[None]:
    """Inside, what is recorded goes to the run's folder. Raises SettingsError where a vendor is wanted and missing."""
    with CurveRecorder(run, tracking) as recorder, told_to(recorder):
        yield
