"""tierrec monitor, retrain, rollout, approve, veto, hold, decisions, reproduce: run and control the retraining loop."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import LOOP, MODELS, given_path, interruptible, project_layout
from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR"}

Run = Annotated[str | None, typer.Argument(help="Name or id of a waiting run (default: the only one).")]


@app.command("monitor", rich_help_panel=LOOP, epilog="Example: tierrec monitor")
def _monitor() -> None:
    """Compare the newest complete window with the champion's reference window, and decide whether to retrain."""
    from flows.pipeline.embedded_server import configure_prefect

    configure_prefect(Path.cwd())
    from flows.loop.monitor import monitor

    typer.echo(monitor())


@app.command("retrain", rich_help_panel=LOOP, epilog='Example: tierrec retrain --reason "new catalogue"')
def _retrain(reason: Annotated[str, typer.Option(help="Recorded with the release.")] = "requested by a user") -> None:
    """Train on the newest data, compare with the champion, and serve a challenger that passes to a share of users."""
    from flows.pipeline.embedded_server import configure_prefect

    configure_prefect(Path.cwd())
    from flows.loop.retrain import retrain

    typer.echo(retrain(reason=reason))


@app.command("rollout", rich_help_panel=LOOP, epilog="Example: tierrec rollout")
def _rollout() -> None:
    """Evaluate the challenger's feedback: promote it, roll it back, or wait."""
    from flows.pipeline.embedded_server import configure_prefect

    configure_prefect(Path.cwd())
    from flows.loop.rollout import rollout

    typer.echo(rollout())


@app.command("approve", rich_help_panel=LOOP, epilog='Example: tierrec approve --reason "figures checked"')
def _approve(
    run: Run = None,
    reason: Annotated[str, typer.Option(help="Recorded with the answer.")] = "",
    show: Annotated[bool, typer.Option("--list", help="Only list the waiting runs.")] = False,
) -> None:
    """Approve a challenger that passed the gate, so that it serves its share of users."""
    if show:
        _show_pending()
        return
    _answer(run, approved=True, reason=reason)


@app.command("veto", rich_help_panel=LOOP, epilog='Example: tierrec veto --reason "the campaign is not over"')
def _veto(reason: Annotated[str, typer.Option(help="Recorded with the retrain.")], run: Run = None) -> None:
    """Reject a challenger although it passed the gate."""
    _answer(run, approved=False, reason=reason)


@app.command("hold", rich_help_panel=LOOP, epilog='Example: tierrec hold --reason "stocktaking"')
def _hold(
    reason: Annotated[str, typer.Option(help="Recorded with the hold.")] = "",
    off: Annotated[bool, typer.Option("--off", help="End the hold.")] = False,
) -> None:
    """Hold the loop: it keeps monitoring and starts no retrain until the hold ends."""
    from flows.loop.loop_state import LoopState

    state = LoopState(project_layout())
    if off:
        before = state.release_hold()
        print(f"the hold has ended; it was held {before}" if before else "the loop was not held")
        return
    print(f"the loop is held {state.hold(reason, datetime.now(UTC))}; `tierrec hold --off` ends the hold")


@app.command("decisions", rich_help_panel=LOOP, epilog="Example: tierrec decisions --limit 5")
def _decisions(
    limit: Annotated[int, typer.Option(min=1, help="Number of decisions, newest last.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full records as JSON.")] = False,
) -> None:
    """Show what the loop decided on each window, and the changes of releases by the loop and by users, with reasons."""
    from flows.loop.loop_state import LoopState
    from flows.project.release_log import list_releases

    layout = project_layout()
    decisions = LoopState(layout).decisions[-limit:]
    if as_json:
        print(json.dumps(decisions, indent=2, sort_keys=True))
    elif decisions:
        _show_decisions(decisions)
    else:
        print("no decisions yet; `tierrec monitor` makes one")
    if not as_json:
        rows = [(change, record.tag) for record in list_releases(layout) for change in record.changes]
        for change, tag in sorted(rows, key=lambda row: row[0].at)[-limit:]:
            print(f"{change.at[:16]}  {tag}  {change.state}: {change.reason}")


@app.command("reproduce", rich_help_panel=MODELS, epilog="Example: tierrec reproduce tierrec:1f2e3d4c5b6a7988")
def _reproduce(
    release: Annotated[str, typer.Argument(help="Tag or version of a release, or a unique prefix.")],
    keep: Annotated[Path | None, typer.Option(callback=given_path, help="New folder to work in and keep.")] = None,
    package: Annotated[bool, typer.Option("--package", help="Build the Bento too, and compare its tag.")] = False,
) -> None:
    """Run every stage of a release again from its revision, and compare metrics.json byte for byte."""
    from rich.console import Console

    from flows.project.release_log import find_release
    from flows.project.reproduce import reproduce

    layout, console = project_layout(), Console()
    with interruptible("stopped; nothing was changed"):
        result = reproduce(layout, find_release(layout, release), console, keep=keep, package=package)
    result.show(console)
    if not result.is_identical:
        raise typer.Exit(1)


def _answer(run: str | None, *, approved: bool, reason: str) -> None:
    with _prefect_client() as client:
        from flows.loop.approval import find_pending, send_answer

        pending = find_pending(client, run)
        send_answer(client, pending.run_id, approved=approved, reason=reason)
    print(f"{pending.name} is {'approved' if approved else 'vetoed'}: {pending.summary}")


def _show_pending() -> None:
    with _prefect_client() as client:
        from flows.loop.approval import list_pending

        runs = list_pending(client)
    for run in runs:
        until = f", until {run.until:%Y-%m-%d %H:%M} UTC" if run.until else ""
        print(f"{run.name}  since {run.since:%Y-%m-%d %H:%M}{until}  {run.summary}")
    if not runs:
        print("nothing waits for an approval")


def _show_decisions(decisions: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tierrec_core.data.interactions import from_days

    table = Table("window end", "state", "action", "reasons", "model")
    for decision in decisions:
        day = f"{from_days(float(decision['window_end'])):%Y-%m-%d}"
        reasons = "\n".join(decision["reasons"])
        table.add_row(day, str(decision.get("state", "")), decision["act"], reasons, decision["model"])
    Console().print(table)


@contextmanager
def _prefect_client() -> Iterator["SyncPrefectClient"]:
    """A client of the server in PREFECT_API_URL, else of the running stack's. Raises SettingsError without either."""
    from flows.stack.state import find_api_url

    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    url = find_api_url(Path.cwd())
    if not url:
        raise SettingsError("approval: no Prefect server is set; run `tierrec stack up`, or set PREFECT_API_URL")
    from flows.loop.approval import connect_to
    from flows.pipeline.embedded_server import check_server

    check_server(url)
    with connect_to(url) as client:
        yield client
