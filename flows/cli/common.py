"""What several commands share: the project, common options, and the handling of interrupts."""

import contextlib
import os
import signal
import sys
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


def open_standard_streams() -> None:
    """Open the null device for each closed one, since libraries write to them, and no pipe may take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - stays open until the process ends


def bypass_proxies() -> None:
    """Send no request to this machine to a proxy of the environment."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    exempt = ",".join(filter(None, (given, "127.0.0.1,localhost")))
    os.environ |= {"no_proxy": exempt, "NO_PROXY": exempt}


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
