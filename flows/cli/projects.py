"""tierrec new, tierrec upgrade: a shop's project, and a new version of the platform in it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import OPERATE, START, AsJson, given_path, print_json, project_layout

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.command("new", rich_help_panel=START, epilog="Example: tierrec new myshop && cd myshop && tierrec init log.csv")
def _new(
    folder: Annotated[Path, typer.Argument(callback=given_path, help="A new folder.")],
    demo: Annotated[bool, typer.Option("--demo", help="With the demo's log and settings.")] = False,
) -> None:
    """Make a shop's project: settings, stages, schedules, a git and a DVC repository."""
    from flows.projects import create_project

    create_project(folder, demo=demo)
    step = "tierrec run" if demo else "tierrec init LOG.csv"
    typer.echo(f"made {folder}. Next: cd {folder} && {step}")


@app.command("upgrade", rich_help_panel=OPERATE, epilog="Example: pip install --upgrade tierrec && tierrec upgrade")
def _upgrade(as_json: AsJson = False) -> None:
    """After a new version of tierrec: bring its files in the project up to date, and say what will run again."""
    from flows.projects import upgrade_project

    upgrade = upgrade_project(project_layout())
    if as_json:
        print_json(asdict(upgrade))
        return
    for name in upgrade.replaced:
        typer.echo(f"replaced {name}; `git diff {name}` shows what changed")
    typer.echo(f"will run again: {', '.join(upgrade.stale) or 'nothing'}")
    if upgrade.champion:
        typer.echo(f"{upgrade.champion} serves on, with the code that it was built from")
    if upgrade.stale:
        typer.echo("Next: tierrec run, which compares and packages the new models; the champion stays until you deploy")
