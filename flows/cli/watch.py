"""tierrec monitor, retrain, rollout: run a flow of the loop in the foreground, with or without a running stack."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command("monitor")
def _monitor() -> None:
    """Compare the newest complete window with the champion's reference window, and decide whether to retrain.

    Example: tierrec monitor
    """
    _use_prefect()
    from flows.loop.monitor import monitor

    typer.echo(monitor())


@app.command("retrain")
def _retrain(reason: Annotated[str, typer.Option(help="Recorded with the release.")] = "requested by a user") -> None:
    """Train on the newest data, compare with the champion, and serve a challenger that passes to a share of users.

    Example: tierrec retrain --reason "new catalogue"
    """
    _use_prefect()
    from flows.loop.retrain import retrain

    typer.echo(retrain(reason=reason))


@app.command("rollout")
def _rollout() -> None:
    """Evaluate the challenger's feedback: promote it, roll it back, or wait.

    Example: tierrec rollout
    """
    _use_prefect()
    from flows.loop.rollout import rollout

    typer.echo(rollout())


def _use_prefect() -> None:
    from flows.pipeline.train import configure_prefect

    configure_prefect(Path.cwd())
