"""tierrec monitor, retrain, rollout: the loop's flows in the foreground, with or without a running stack."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command()
def monitor() -> None:
    """Judge the newest complete window against the champion's reference, and say what follows.

    Example: tierrec monitor
    """
    _join()
    from flows.loop.monitor import monitor as flow

    typer.echo(flow())


@app.command()
def retrain(
    reason: Annotated[str, typer.Option(help="Kept with the release.")] = "asked by a person",
) -> None:
    """Train on the newest data, hold the result against the champion, and let it answer a share of the users.

    Example: tierrec retrain --reason "new catalogue"
    """
    _join()
    from flows.loop.retrain import retrain as flow

    typer.echo(flow(reason=reason))


@app.command()
def rollout() -> None:
    """Look at the challenger's feedback: promote it, take it away, or wait.

    Example: tierrec rollout
    """
    _join()
    from flows.loop.rollout import rollout as flow

    typer.echo(flow())


def _join() -> None:
    """Runs are seen by the stack's server where one runs; else Prefect lives in the project meanwhile."""
    from flows.pipeline.train import embed

    embed(Path.cwd())
