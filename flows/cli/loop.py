"""tierrec approve, veto, hold, decisions, reproduce: what a person says to the loop, and asks it."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

_INTERRUPTED = 130
_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR"}

Run = Annotated[str | None, typer.Argument(help="Name or id of a waiting run; the only one if left out.")]


@app.command()
def approve(
    run: Run = None,
    reason: Annotated[str, typer.Option(help="Kept with the answer.")] = "",
    show: Annotated[bool, typer.Option("--list", help="Only show what waits.")] = False,
) -> None:
    """Let a challenger that passed the gate answer its share of users.

    Example: tierrec approve --reason "looked at the gate's report"
    """
    if show:
        _show_waiting()
        return
    _answer(run, approved=True, reason=reason)


@app.command()
def veto(
    reason: Annotated[str, typer.Option(help="Why; kept with the retrain.")],
    run: Run = None,
) -> None:
    """Send a challenger away although it passed the gate.

    Example: tierrec veto --reason "the campaign is not over"
    """
    _answer(run, approved=False, reason=reason)


@app.command()
def hold(
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Let the loop go on.")] = False,
) -> None:
    """Let the loop watch and start nothing, until told otherwise.

    Example: tierrec hold --reason "stocktaking"
    """
    from flows.loop import hold as holding

    layout = Layout(Path.cwd())
    if off:
        before = holding.let_go(layout)
        print(f"the loop goes on; it was held {before}" if before else "the loop was not held")
        return
    print(f"the loop is held {holding.hold(layout, reason, datetime.now(UTC))}; `tierrec hold --off` ends it")


@app.command()
def decisions(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept of them, as JSON.")] = False,
) -> None:
    """Show what the loop decided on each window, and why.

    Example: tierrec decisions --limit 5
    """
    from flows.loop.loop_state import LoopState

    kept = LoopState(Layout(Path.cwd())).decisions[-limit:]
    if as_json:
        print(json.dumps(kept, indent=2, sort_keys=True))
    elif kept:
        _show_decisions(kept)
    else:
        print("no decisions yet; `tierrec monitor` makes one")


@app.command()
def reproduce(
    release: Annotated[str, typer.Argument(help="Tag or version of a release, or how it begins.")],
    keep: Annotated[Path | None, typer.Option(help="New folder to work in, which stays.")] = None,
    package: Annotated[
        bool, typer.Option("--package", help="Go on to the Bento, and compare its tag.")
    ] = False,
) -> None:
    """Run every stage of a release again from its revision, and compare metrics.json byte for byte.

    Example: tierrec reproduce tierrec:1f2e3d4c5b6a7988
    """
    from rich.console import Console

    from flows.project.release_log import find
    from flows.project.reproduce import reproduce as run

    layout, console = Layout(Path.cwd()), Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        found = run(layout, find(layout, release), console, keep=keep, package=package)
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    found.show(console)
    if not found.is_identical:
        raise typer.Exit(1)


def _answer(run: str | None, *, approved: bool, reason: str) -> None:
    with _client() as client:
        from flows.loop import approval

        one = approval.find(client, run)
        approval.answer(client, one.run_id, approved=approved, reason=reason)
    print(f"{one.name} is {'approved' if approved else 'vetoed'}: {one.summary}")


def _show_waiting() -> None:
    with _client() as client:
        from flows.loop import approval

        found = approval.waiting(client)
    for one in found:
        until = f", until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else ""
        print(f"{one.name}  since {one.since:%Y-%m-%d %H:%M}{until}  {one.summary}")
    if not found:
        print("nothing waits for an approval")


def _show_decisions(kept: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tierrec_core.data.interactions import from_days

    table = Table("window's end", "found", "done", "reasons", "model")
    for one in kept:
        day = f"{from_days(float(one['window_end'])):%Y-%m-%d}"
        table.add_row(day, str(one.get("state", "")), one["act"], "\n".join(one["reasons"]), one["model"])
    Console().print(table)


@contextmanager
def _client() -> Iterator["SyncPrefectClient"]:
    """A client of the server that PREFECT_API_URL names, else of the running stack's. Raises SettingsError."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    url = os.environ.get("PREFECT_API_URL") or _stack_url()
    if not url:
        raise SettingsError(
            "approval: no Prefect server is known; run `tierrec stack up`, or set PREFECT_API_URL"
        )
    from flows.loop.approval import connected

    with connected(url) as client:
        yield client


def _stack_url() -> str | None:
    from flows.stack.address import api_url

    return api_url(Path.cwd())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
