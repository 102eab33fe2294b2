"""tierrec experiments: the results of the shop's experiments."""

from typing import TYPE_CHECKING

import typer

from flows.cli.common import Folder, StoreUrl, project_layout

if TYPE_CHECKING:
    from rich.table import Table

    from services.experiments import Experiment, VariantResult
    from tierrec_core.evaluation.bootstrap import ConfidenceInterval

app = typer.Typer()


@app.command("experiments")
def _experiments(folder: Folder = None, store: StoreUrl = None) -> None:
    """Show each experiment's variants: conversion, difference to the first with its always-valid interval, verdict.

    Example: tierrec experiments --folder data/serving
    """
    from rich.console import Console

    from flows.project.feedback_store import open_store
    from services.experiments import Experiments, all_results
    from services.shared_files import serving_folder

    path = serving_folder(project_layout(), folder) / "experiments.yaml"
    console, experiments = Console(), Experiments.read(path)
    if not experiments.by_name:
        console.print(f"no experiments: {path} holds none", soft_wrap=True)
        return
    with open_store(project_layout(), folder, store) as feedback:
        for name, results in all_results(experiments, feedback).items():
            console.print(_table(name, experiments.by_name[name], results))
            if results[0].mismatch:
                console.print(
                    f"{name}: users did not come in the planned shares (p = {results[0].split_p_value:.2g}); "
                    "find out why before believing any difference"
                )


def _table(name: str, experiment: "Experiment", results: list["VariantResult"]) -> "Table":
    from rich.table import Table

    title = f"{name}: {experiment.goal} within {experiment.horizon_hours:g} h"
    table = Table("variant", "share", "users", "rate", "difference to the first", "verdict", title=title)
    for result in results:
        table.add_row(
            result.variant,
            f"{result.share:.0%}",
            f"{result.users:,}",
            _percentages(result.rate),
            _percentages(result.difference, "+") if result.difference else "",
            result.verdict,
        )
    return table


def _percentages(interval: "ConfidenceInterval", sign: str = "") -> str:
    """A value and its interval in percent, or a difference in percentage points."""
    value, low, high = (f"{100 * bound:{sign}.2f}" for bound in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
