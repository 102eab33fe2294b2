"""Experiment trackers for training curves, in addition to TensorBoard files, which are always written."""

from typing import Annotated, Literal

from pydantic import Field

from tierrec_core.base.params import Params


class WandbSettings(Params):
    """Weights & Biases. offline writes a run folder for a later `wandb sync`; online uploads during training.

    online sends training curves, hyperparameters and model names to the server at WANDB_BASE_URL.
    """

    project: Annotated[str, Field(min_length=1)] = "tierrec"
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"


class TrackingSettings(Params):
    """Experiment trackers. They do not change a model, so a change here does not retrain one."""

    wandb: WandbSettings | None = None
