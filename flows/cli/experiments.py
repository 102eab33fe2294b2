"""`tierrec experiments`: what came of the experiments so far."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from rich.table import Table

    from services.experiments import Experiment, VariantResult
    from tierrec_core.evaluation.bootstrap import Interval


def experiments(
    folder: Annotated[
        Path | None, typer.Option(help="Where experiments.yaml and the feedback lie; data/serving.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="URL of the feedback; feedback.db of the folder.")] = None,
) -> None:
    """Show each experiment's variants: conversion, difference to the first with its always-valid interval, verdict.

    Example: tierrec experiments --folder data/serving
    """
    from rich.console import Console

    from services.experiments import Experiments, all_results
    from services.store import Store

    folder = folder or Layout(Path.cwd()).data / "serving"
    console, known = Console(), Experiments.read(folder / "experiments.yaml")
    if not known.by_name:
        console.print(f"no experiments: {folder / 'experiments.yaml'} holds none", soft_wrap=True)
        return
    feedback = Store.open(store or f"sqlite:///{folder / 'feedback.db'}")
    try:
        for name, found in all_results(known, feedback).items():
            console.print(_table(name, known.by_name[name], found))
            if found[0].mismatch:
                console.print(
                    f"{name}: users did not come in the planned shares (p = {found[0].split_p_value:.2g}); "
                    "find out why before believing any difference"
                )
    finally:
        feedback.close()


def _table(name: str, experiment: "Experiment", found: list["VariantResult"]) -> "Table":
    from rich.table import Table

    title = f"{name}: {experiment.goal} within {experiment.horizon_hours:g} h"
    table = Table("variant", "share", "users", "rate", "difference to the first", "verdict", title=title)
    for one in found:
        difference = _percents(one.difference, "+") if one.difference else ""
        table.add_row(
            one.variant, f"{one.share:.0%}", f"{one.users:,}", _percents(one.rate), difference, one.verdict
        )
    return table


def _percents(interval: "Interval", sign: str = "") -> str:
    """A value and its interval in percent (a difference: percentage points)."""
    value, low, high = (f"{100 * one:{sign}.2f}" for one in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
