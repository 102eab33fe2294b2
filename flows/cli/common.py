"""What several commands share: the project, common options, and the handling of interrupts."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tierrec_core.base.paths import Layout

_INTERRUPTED = 130  # exit code

Folder = Annotated[
    Path | None, typer.Option(help="State folder of the shop (default: TIERREC_STATE, else data/serving).")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="URL of the feedback store (default: TIERREC_STORE, else the folder's).")
]


def project_layout() -> Layout:
    """The project in the current folder."""
    return Layout(Path.cwd())


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, end the command with this message and exit code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(message, err=True)
        raise typer.Exit(_INTERRUPTED) from None
