"""`tierrec export` and `tierrec import`: users, items and events of a feedback store, as files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from rich.console import Console

    from services.store import Store
    from services.transfer.records import Imported

Folder = Annotated[Path | None, typer.Option(help="Where the feedback lies; data/serving.")]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="URL of the feedback; feedback.db of the folder.")
]


def export(
    kind: Annotated[Literal["events", "items", "users", "impressions"], typer.Argument(help="What.")],
    path: Annotated[Path, typer.Argument(help="OUT.jsonl or OUT.parquet; a folder with --for-ingest.")],
    folder: Folder = None,
    store: StoreUrl = None,
    since: Annotated[int, typer.Option(min=0, help="Only what came after this cursor.")] = 0,
    for_ingest: Annotated[
        bool, typer.Option("--for-ingest", help="All kinds, as ingest reads them.")
    ] = False,
) -> None:
    """Write what a feedback store holds to a file that `tierrec import` reads; killed, it goes on where it was.

    Example: tierrec export events events.parquet --since 120000
    """
    from rich.console import Console

    from services.store.export import export_for_ingest
    from services.transfer.files import export_file

    console = Console()
    if for_ingest and (kind != "events" or since):
        raise SettingsError(
            "export: --for-ingest writes all there is of all kinds; wanted events without --since"
        )
    with _opened(folder, store, must_exist=True) as feedback:
        if for_ingest:
            num_events = export_for_ingest(feedback, path)
            console.print(f"{num_events:,} events, and items and users, are in {path}", soft_wrap=True)
            return
        with _bar(console, f"export {kind}") as tell:
            done = export_file(feedback, kind, path, since=since, tell=tell)
    console.print(f"{done.rows:,} {kind} are in {path}; the next: --since {done.cursor}", soft_wrap=True)


def import_(
    kind: Annotated[Literal["events", "items", "users"], typer.Argument(help="What.")],
    files: Annotated[list[Path], typer.Argument(help="JSONL or Parquet files, one record a line or row.")],
    folder: Folder = None,
    store: StoreUrl = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
) -> None:
    """Put records into a feedback store. Killed, it goes on where it was; a file that is imported twice counts once.

    Example: tierrec import events events.jsonl
    """
    from rich.console import Console

    from services.transfer.files import import_file, progress_of

    console, num_rejected = Console(), 0
    with _opened(folder, store) as feedback:
        for path in files:
            with _bar(console, path.name) as tell:
                answer = import_file(feedback, kind, path, strict=strict, tell=tell)
            num_rejected += answer.rejected
            _show(console, path, answer)
    for path in files:
        progress_of(path).unlink(missing_ok=True)
    if num_rejected:
        raise typer.Exit(1)


def _check_for_ingest(kind: str, since: int) -> None:
    if kind != "events" or since:
        raise SettingsError(
            "export: --for-ingest writes all there is of all kinds; wanted events without --since"
        )


def _show(console: "Console", path: Path, answer: "Imported") -> None:
    counts = f"{answer.accepted:,} accepted, {answer.duplicates:,} duplicates, {answer.rejected:,} rejected"
    console.print(f"{path}: {counts}", soft_wrap=True, highlight=False)
    for one in answer.first_errors:
        console.print(f"  line {one.line}: {one.error}", soft_wrap=True, markup=False, highlight=False)
    if answer.rejected > len(answer.first_errors):
        console.print("  ...")


@contextlib.contextmanager
def _opened(folder: Path | None, url: str | None, *, must_exist: bool = False) -> Iterator["Store"]:
    """The store of a folder, or the one at a URL."""
    from services.store import Store

    path = (folder or Layout(Path.cwd()).data / "serving") / "feedback.db"
    if must_exist and url is None and not path.exists():
        raise SettingsError(f"{path}: is missing; name its folder with --folder, or a database with --store")
    feedback = Store.open(url or f"sqlite:///{path}")
    try:
        yield feedback
    finally:
        feedback.close()


@contextlib.contextmanager
def _bar(console: "Console", title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, and what moves it: how much is done, of how much."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)
        yield lambda done, total: progress.update(task, completed=done, total=total)
