"""tierrec disk, clean, backup and restore: what the project's files hold, and their copy in one file."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import OPERATE, AsJson, given_path, print_json, project_layout

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.command("disk", rich_help_panel=OPERATE, epilog="Example: tierrec disk --json")
def _disk(as_json: AsJson = False) -> None:
    """Show what holds how many bytes, and how many of them `tierrec clean` would free."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from flows.storage import disk_usage

    used = list(disk_usage(project_layout()))
    if as_json:
        print_json([asdict(one) for one in used])
        return
    table = Table("what", "size", "of that, not needed")
    for one in used:
        table.add_row(one.kind, decimal(one.bytes), decimal(one.freed) if one.freed else "")
    table.add_row("all", decimal(sum(one.bytes for one in used)), decimal(sum(one.freed for one in used)), style="bold")
    Console().print(table)


@app.command("clean", rich_help_panel=OPERATE, epilog="Example: tierrec clean --dry-run")
def _clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
) -> None:
    """Delete outputs that neither the current run nor a release of the store needs; the stack does it each night."""
    from rich.filesize import decimal

    from flows.storage import clean_project

    number, size = clean_project(project_layout(), dry_run=dry_run)
    typer.echo(f"{'would delete' if dry_run else 'deleted'} {number:,} objects of DVC's cache, {decimal(size)}")


@app.command("backup", rich_help_panel=OPERATE, epilog="Example: tierrec clean && tierrec backup /backups/shop.tar")
def _backup(
    file: Annotated[Path, typer.Argument(callback=given_path, help="The file to write, a tar archive.")],
) -> None:
    """Copy the project into one file: settings, releases, models, the service's state and store, the loop's records."""
    from rich.filesize import decimal

    from flows.stack.plan import mask_password
    from flows.storage.archive import back_up
    from services.shared_files import STORE_VARIABLE

    typer.echo(f"wrote {file}, {decimal(back_up(project_layout(), file))}; keep it as secret as the project")
    if url := os.environ.get(STORE_VARIABLE):
        typer.echo(
            f"warning: it lacks the feedback store {mask_password(url)}; back that up by its own tools", err=True
        )


@app.command("restore", rich_help_panel=OPERATE, epilog="Example: tierrec restore /backups/shop.tar shop")
def _restore(
    file: Annotated[Path, typer.Argument(callback=given_path, help="A file of `tierrec backup`.")],
    folder: Annotated[Path, typer.Argument(callback=given_path, help="A new folder for the project.")],
) -> None:
    """Make the project of a backup in a new folder, also on another machine."""
    from flows.storage.archive import restore

    restore(file, folder)
    typer.echo(f"restored {folder}. Next: cd {folder} && tierrec status && tierrec serve")
