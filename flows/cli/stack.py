"""tierrec stack: everything on one machine, kept running."""

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from flows.stack.status import PartStatus

app = typer.Typer(
    no_args_is_help=True, help="Prefect's server, a worker a pool, deployments and the service, kept running."
)
_INTERRUPTED, _WIDE = 130, 140


@app.command()
def up(
    server_port: Annotated[int | None, typer.Option(help="Of Prefect's server (default: 4200).")] = None,
    service_port: Annotated[int | None, typer.Option(help="Of the service (default: 3000).")] = None,
    host: Annotated[str | None, typer.Option(help="Where the service listens (default: 127.0.0.1).")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that answer (default: 1).")] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://... for Prefect (default: SQLite in .prefect).")
    ] = None,
    schedules: Annotated[
        bool | None,
        typer.Option("--schedules/--no-schedules", help="Whether flows run by the clock (default: yes)."),
    ] = None,
) -> None:
    """Start what is not running yet, and return when all of it is ready.

    Example: tierrec stack up --server-port 4201
    """
    from flows.stack.up import up as act

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        state = act(
            Path.cwd(),
            {
                "server_port": server_port,
                "service_port": service_port,
                "host": host,
                "workers": workers,
                "database": database,
                "schedules": schedules,
            },
            typer.echo,
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; `tierrec stack up` goes on, `tierrec stack down` ends what runs", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    typer.echo(f"the stack is up; watch the flows at {state.api_url.removesuffix('/api')}")


@app.command()
def down() -> None:
    """End all of it, runs of flows included.

    Example: tierrec stack down
    """
    from flows.stack.down import down as act

    count = act(Path.cwd(), typer.echo)
    typer.echo(f"the stack is down; {count} processes ended" if count else "no stack was up")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell how each part is; exit code 1 when one that is wanted is not running.

    Example: tierrec stack status
    """
    from flows.stack.status import status as look

    rows = look(Path.cwd())
    well = bool(rows) and all(row.is_well for row in rows)
    if as_json:
        typer.echo(json.dumps({"well": well, "parts": [row.report() for row in rows]}, indent=1))
    elif rows:
        _show(rows)
    else:
        typer.echo("no stack is up here; `tierrec stack up` starts one")
    if not well:
        raise typer.Exit(1)


def _show(rows: list["PartStatus"]) -> None:
    """A table, and the notes below it."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    table = Table("part", "state", "pid", Column("since (UTC)", no_wrap=True), "restarts", "MiB", box=None)
    for name in ("where", "log"):
        table.add_column(name, overflow="fold")
    for row in rows:
        color = "green" if row.state == "running" else "dim" if row.is_well else "red"
        table.add_row(
            row.part,
            f"[{color}]{row.state}[/{color}]",
            str(row.pid or ""),
            (row.since or "")[:16].replace("T", " "),
            str(row.restarts),
            f"{row.memory / 2**20:.0f}" if row.memory else "",
            row.where.removesuffix("/api"),
            row.log,
        )
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.part}: {row.note}", style="yellow", soft_wrap=True)
