"""What several commands share: the project, the state folder of a shop, and how an interrupt ends a command."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tierrec_core.base.paths import Layout

INTERRUPTED = 130  # the exit code of a command that was stopped with Ctrl-C or SIGTERM

Folder = Annotated[
    Path | None, typer.Option(help="State folder of the shop (default: TIERREC_STATE, else data/serving).")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="URL of the feedback store (default: TIERREC_STORE, else the folder's).")
]


def project_layout() -> Layout:
    """The project in the current folder."""
    return Layout(Path.cwd())


def raise_interrupt(*_: object) -> NoReturn:
    """Signal handler that lets SIGTERM end a command as Ctrl-C does."""
    raise KeyboardInterrupt
