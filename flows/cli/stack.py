"""tierrec stack: start, stop and inspect all services on one machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import interruptible

if TYPE_CHECKING:
    from flows.stack.status import PartStatus

app = typer.Typer(
    no_args_is_help=True, help="Prefect's server, one worker per pool, the deployments and the service, supervised."
)
_MIN_WIDTH = 140


@app.command("up", epilog="Example: tierrec stack up --server-port 4201")
def _up(
    server_port: Annotated[int | None, typer.Option(help="Port of Prefect's server (default: 4200).")] = None,
    service_port: Annotated[int | None, typer.Option(help="Port of the service (default: 3000).")] = None,
    host: Annotated[str | None, typer.Option(help="Address that the service listens on (default: 127.0.0.1).")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes of the service (default: 1).")] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://... for Prefect (default: SQLite in .prefect).")
    ] = None,
    schedules: Annotated[
        bool | None, typer.Option("--schedules/--no-schedules", help="Whether flows run on schedule (default: yes).")
    ] = None,
) -> None:
    """Start the parts that are not running, and return when all are ready."""
    from flows.stack.up import up

    options = {
        "server_port": server_port,
        "service_port": service_port,
        "host": host,
        "workers": workers,
        "database": database,
        "schedules": schedules,
    }
    with interruptible("interrupted; `tierrec stack up` resumes, `tierrec stack down` stops what runs"):
        state = up(Path.cwd(), options, typer.echo)
    typer.echo(f"the stack is up; watch the flows at {state.options.api_url.removesuffix('/api')}")


@app.command("down", epilog="Example: tierrec stack down")
def _down() -> None:
    """Stop everything, including flow runs."""
    from flows.stack.down import down

    num_processes = down(Path.cwd(), typer.echo)
    typer.echo(f"the stack is down; {num_processes} processes ended" if num_processes else "no stack was up")


@app.command("status", epilog="Example: tierrec stack status")
def _status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the state of each part; exit code 1 when a required part is not running."""
    from flows.stack.status import stack_status

    rows = stack_status(Path.cwd())
    is_well = bool(rows) and all(row.is_well for row in rows)
    if as_json:
        typer.echo(json.dumps({"well": is_well, "parts": [asdict(row) for row in rows]}, indent=1))
    elif rows:
        _show(rows)
    else:
        typer.echo("no stack is up here; `tierrec stack up` starts one")
    if not is_well:
        raise typer.Exit(1)


def _show(rows: list["PartStatus"]) -> None:
    """Print a table, and the notes below it."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _MIN_WIDTH)
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
