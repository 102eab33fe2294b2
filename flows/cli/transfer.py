"""tierrec export, tierrec import: users, items and events of a feedback store as files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.common import OPERATE, Folder, StoreUrl, given_path, project_layout
from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from services.transfer.records import Imported

app = typer.Typer(no_args_is_help=True)


@app.command("export", rich_help_panel=OPERATE, epilog="Example: tierrec export events events.parquet --since 120000")
def _export(
    kind: Annotated[Literal["events", "items", "users", "impressions"], typer.Argument(help="Record type.")],
    path: Annotated[
        Path, typer.Argument(callback=given_path, help="OUT.jsonl or OUT.parquet; a folder with --for-ingest.")
    ],
    folder: Folder = None,
    store: StoreUrl = None,
    since: Annotated[int, typer.Option(min=0, help="Only records after this cursor.")] = 0,
    for_ingest: Annotated[
        bool, typer.Option("--for-ingest", help="All record types, in the format of the ingest stage.")
    ] = False,
) -> None:
    """Export records of a feedback store to a file that `tierrec import` reads; an interrupted export resumes."""
    from rich.console import Console

    from flows.project.feedback_store import FILE, has_store, open_store
    from services.shared_files import serving_folder
    from services.store.export import export_for_ingest
    from services.transfer.files import export_file

    console, layout = Console(), project_layout()
    if for_ingest and (kind != "events" or since):
        raise SettingsError("export: --for-ingest exports all records of all types; wanted `events` without --since")
    if not has_store(layout, folder, store):
        raise SettingsError(
            f"{serving_folder(layout, folder) / FILE}: is missing; give its folder with --folder, "
            "or a database with --store"
        )
    with open_store(layout, folder, store) as feedback:
        if for_ingest:
            num_events = export_for_ingest(feedback, path)
            console.print(f"{num_events:,} events, and items and users, are in {path}", soft_wrap=True)
            return
        with _progress_bar(console, f"export {kind}") as update:
            exported = export_file(feedback, kind, path, since=since, on_progress=update)
    console.print(f"{exported.rows:,} {kind} are in {path}; to continue: --since {exported.cursor}", soft_wrap=True)


@app.command("import", rich_help_panel=OPERATE, epilog="Example: tierrec import events events.jsonl")
def _import(
    kind: Annotated[Literal["events", "items", "users"], typer.Argument(help="Record type.")],
    files: Annotated[
        list[Path], typer.Argument(callback=given_path, help="JSONL or Parquet files, one record per line or row.")
    ],
    folder: Folder = None,
    store: StoreUrl = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first invalid record.")] = False,
) -> None:
    """Import records into a feedback store. An interrupted import resumes; importing a file twice adds nothing."""
    from rich.console import Console

    from flows.project.feedback_store import open_store
    from services.transfer.files import import_file, progress_path

    console, num_rejected = Console(), 0
    with open_store(project_layout(), folder, store) as feedback:
        for path in files:
            with _progress_bar(console, path.name) as update:
                result = import_file(feedback, kind, path, strict=strict, on_progress=update)
            num_rejected += result.rejected
            _show_result(console, path, result)
    for path in files:
        progress_path(path).unlink(missing_ok=True)
    if num_rejected:
        raise typer.Exit(1)


def _show_result(console: "Console", path: Path, result: "Imported") -> None:
    counts = f"{result.accepted:,} accepted, {result.duplicates:,} duplicates, {result.rejected:,} rejected"
    counts += f", {result.deleted:,} deletions" if result.deleted else ""
    console.print(f"{path}: {counts}", soft_wrap=True, highlight=False)
    for rejection in result.first_errors:
        console.print(f"  line {rejection.line}: {rejection.error}", soft_wrap=True, markup=False, highlight=False)
    if result.rejected > len(result.first_errors):
        console.print("  ...")


@contextlib.contextmanager
def _progress_bar(console: "Console", title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; yields a function of the number done and the total."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)
        yield lambda completed, total: progress.update(task, completed=completed, total=total)
