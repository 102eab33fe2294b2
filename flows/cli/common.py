"""What several commands share: the project, common options, and the handling of interrupts."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tierrec_core.base.paths import Layout

_INTERRUPTED = 130  # exit code

START, MODELS, SERVE, LOOP, OPERATE = "Start", "Models", "Serve", "Loop", "Operate"  # panels of `tierrec --help`

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
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


def enter_project(ctx: typer.Context, folder: Path | None) -> None:
    """Change into the project: of the given folder, else the nearest one from the current folder upwards.

    A folder that is in no project stays the current one. Paths are then given relative to `ctx.obj`, see given_path.
    """
    if folder is not None:
        os.chdir(folder)
    ctx.obj = here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / "dvc.yaml").is_file() and (candidate / "params.yaml").is_file():
            os.chdir(candidate)
            return


def given_path(ctx: typer.Context, value: Path | list[Path] | None) -> Path | list[Path] | None:
    """Make paths that are relative to the folder in which the command was called relative to the project's.

    A callback of arguments and options. A glob is a path, too.
    """
    called_in = ctx.find_root().obj
    if value is None or called_in is None or called_in == Path.cwd():
        return value
    paths = value if isinstance(value, list) else [value]
    moved = [path if path.is_absolute() else Path(os.path.relpath(called_in / path)) for path in paths]
    return moved if isinstance(value, list) else moved[0]


def project_layout() -> Layout:
    """The project in the current folder."""
    return Layout(Path.cwd())


def print_json(value: Any) -> None:
    """Print a value as JSON; times and paths become texts."""
    typer.echo(json.dumps(value, indent=2, default=str))


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, end the command with this message and exit code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(message, err=True)
        raise typer.Exit(_INTERRUPTED) from None
