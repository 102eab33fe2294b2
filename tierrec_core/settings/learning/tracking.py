"""Where the curves of deep models go beside TensorBoard's files, which are always written."""

from typing import Annotated, Literal

from pydantic import Field

from tierrec_core.base.params import Params


class WandbSettings(Params):
    """Weights & Biases. offline writes a run folder to send later with `wandb sync`; online sends as it trains.

    online sends the curves, the options and the name of the shop's models to the service that WANDB_BASE_URL names.
    """

    project: Annotated[str, Field(min_length=1)] = "tierrec"
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"


class TrackingSettings(Params):
    """Who else hears of a training's figures. None of it changes a model, and so none of it asks for a new fit."""

    wandb: WandbSettings | None = None
