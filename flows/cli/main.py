"""tierrec: the command line. What a command needs is imported inside it, so that --help is instant."""

import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.experiments import experiments
from flows.cli.loop import app as loop
from flows.cli.releases import app as releases
from flows.cli.review import app as review
from flows.cli.simulate import simulate
from flows.cli.stack import app as stack
from flows.cli.transfer import export, import_
from flows.cli.tune import tune
from flows.cli.watch import app as watch
from tierrec_core.base.errors import ArtifactError, TierRecError
from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from tierrec_core.sources.schema_inference import Guess

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(releases)
app.add_typer(watch)
app.add_typer(loop)
app.add_typer(review, name="review")
app.add_typer(stack, name="stack")
app.command()(simulate)
app.command()(tune)
app.command()(experiments)
app.command()(export)
app.command("import")(import_)
_INTERRUPTED = 130


def main() -> None:
    """Run the command; an error that a person can mend is one message and exit code 2."""
    try:
        app()
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.callback()
def about() -> None:
    """A recommender platform: data -> models -> tested Bento, in the current folder."""


@app.command()
def init(
    files: list[Path],
    user_column: Annotated[str | None, typer.Option(help="Who.")] = None,
    item_column: Annotated[str | None, typer.Option(help="What.")] = None,
    event_column: Annotated[str | None, typer.Option(help="Kind of event.")] = None,
    time_column: Annotated[str | None, typer.Option(help="When.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Their name of an event=ours.")] = None,
    separator: Annotated[str | None, typer.Option(help="Between the columns of a CSV file.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times without an offset.")] = None,
    items: Annotated[Path | None, typer.Option(help="The catalogue.")] = None,
    users: Annotated[Path | None, typer.Option(help="The users' attributes, for audits.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
) -> None:
    """Look at event logs (CSV, Parquet), propose how to read them, and write that into params.yaml.

    Example: tierrec init log.csv --time-column ts --event buy=purchase --yes
    """
    from flows.project.params import replace_sections
    from tierrec_core.sources.schema_inference import propose_settings

    guesses = {
        "user_column": user_column,
        "item_column": item_column,
        "event_column": event_column,
        "time_column": time_column,
        "events": _pairs(event or []) or None,
        "separator": separator,
        "timezone": timezone,
        "items_path": None if items is None else str(items),
        "users_path": None if users is None else str(users),
    }
    overrides = {name: value for name, value in guesses.items() if value is not None}
    proposal = propose_settings(files, overrides)
    _show_guesses(proposal.guesses)
    _show_patch(proposal.patch)
    if not yes and sys.stdin.isatty() and not typer.confirm("Write this to params.yaml?", default=True):
        raise typer.Exit(1)
    replace_sections(_layout().params, proposal.patch)
    print("params.yaml is written. Next: tierrec run")


@app.command()
def run(
    assignments: Annotated[list[str] | None, typer.Option("--set", help="key=value in params.yaml.")] = None,
    only: Annotated[str | None, typer.Option(help="One stage, such as train or train@ease.")] = None,
) -> None:
    """Bring everything that is stale up to date, and show the leaderboard.

    Example: tierrec run --set models.ease.l2=300
    """
    from rich.console import Console

    from flows.pipeline.train import run as train
    from flows.project.params import set_values

    layout, console = _layout(), Console()
    set_values(layout.params, assignments or [])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        summary = train(layout.root, console, only)
    except KeyboardInterrupt:
        print("stopped; `tierrec run` continues where it was", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    summary.show(console, layout)


@app.command()
def status() -> None:
    """Tell what is stale, when the last run was, and which Bento is the champion.

    Example: tierrec status
    """
    from flows.graph.dvc_graph import StageGraph, stale
    from tierrec_core.base import artifacts

    layout = _layout()
    waiting = StageGraph.read(layout.root).affected(stale(layout.root))
    print(f"stale: {', '.join(waiting) or 'nothing'}")
    runs = sorted(layout.runs.glob("*.json"))
    last = artifacts.read_json(runs[-1]) if runs else None
    print(f"last run: {last['ended']}, {last['seconds']:.0f} s" if last else "last run: none")
    bento = artifacts.read_json(layout.bento) if layout.bento.exists() else {}
    print(f"champion: {bento.get('tag', 'none')}")


@app.command()
def recommend(
    user: Annotated[str | None, typer.Argument(help="A user of the log.")] = None,
    history: Annotated[str | None, typer.Option(help="Items of somebody unknown: a,b,c.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    task: Annotated[str, typer.Option(help="next or discovery.")] = "next",
    explain: Annotated[bool, typer.Option("--explain", help="Say what carries each item.")] = False,
) -> None:
    """Recommend items to a user of the log, or to somebody with the given history.

    Example: tierrec recommend 1053 -k 5 --explain
    """
    for rank, (item, title, reasons) in enumerate(_answer(user, history, k, task, explain), 1):
        print(f"{rank:3}  {item}  {title}")
        for name, share in reasons:
            print(f"       {share:+.3f}  {name}")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Where to listen.")] = 3000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine only with API keys.")
    ] = "127.0.0.1",
) -> None:
    """Serve the packaged Bento until Ctrl-C.

    Example: tierrec serve --port 3000
    """
    from services.deployment.serve import run_server

    run_server(_layout(), port, workers, host)


@app.command()
def batch(
    folder: Annotated[Path, typer.Argument(help="Where the Parquet parts go.")],
    task: Annotated[str, typer.Option(help="next or discovery.")] = "next",
    k: Annotated[int, typer.Option("-k", min=1, help="Items a user.")] = 20,
) -> None:
    """Write the lists of all users to Parquet, part by part; started again, it continues.

    Example: tierrec batch lists --task discovery -k 20
    """
    from services.releases.manifest import fingerprint
    from tierrec_core.bundle.batch import write_lists
    from tierrec_core.bundle.bundle import Bundle

    bundle = _layout().bundle
    write_lists(Bundle.load(bundle), task, folder, fingerprint=fingerprint(bundle), k=k, tell=print)


@app.command()
def report(
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Print where the report is.

    Example: tierrec report --open
    """
    page = _layout().report
    if not page.exists():
        raise ArtifactError(f"{page}: is missing; run `tierrec run` to make it")
    print(page)
    if show:
        webbrowser.open(page.resolve().as_uri())


@app.command()
def doctor() -> None:
    """Check versions, disk, memory, ports, and the programs that some parts need.

    Example: tierrec doctor
    """
    from flows.cli.doctor import examine

    findings = list(examine(Path.cwd()))
    for one in findings:
        print(f"{'ok ' if one.well else 'BAD'}  {one.what:12} {one.found}")
    if not all(one.well for one in findings):
        raise typer.Exit(1)


def _layout() -> Layout:
    return Layout(Path.cwd())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.partition("=")[::2] for text in texts)


def _show_guesses(guesses: Sequence["Guess"]) -> None:
    """A table of what was found, and why that was thought."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "found", "because", box=None)
    for guess in guesses:
        table.add_row(guess.place, str(guess.value), guess.evidence)
    Console().print(table)


def _show_patch(patch: dict[str, Any], prefix: str = "") -> None:
    """One line a setting, nested keys dotted."""
    for key, value in patch.items():
        if isinstance(value, dict) and value:
            _show_patch(value, f"{prefix}{key}.")
        else:
            print(f"{prefix + key:32} {value}")


def _answer(
    user: str | None, items: str | None, k: int, task: str, explain: bool
) -> list[tuple[str, str, list[tuple[str, float]]]]:
    """Item id, title and the heaviest reasons of each recommendation; the one place that asks the bundle."""
    from tierrec_core.base.errors import DataError
    from tierrec_core.bundle.bundle import Bundle
    from tierrec_core.bundle.explain import reasons

    if (user is None) == (items is None):
        raise DataError("recommend: wanted either USER or --history a,b,c")
    bundle = Bundle.load(_layout().bundle)
    if task not in bundle.tasks:
        raise DataError(f"recommend: task {task!r} is unknown; the bundle has {', '.join(bundle.tasks)}")
    history = bundle.visitor((items or "").split(",")) if user is None else bundle.history_of(user)
    if history is None:
        raise DataError(f"recommend: user {user!r} is not in the log; give their items with --history a,b,c")
    ranked = bundle.recommend(task, history, k).items[0]
    columns = ranked[ranked >= 0]
    why = (
        [reasons(shares) for shares in bundle.explain(task, history, columns)]
        if explain
        else [{}] * len(columns)
    )
    shown = bundle.items.iloc[columns][["item_id", "title"]].itertuples(index=False)
    return [
        (str(item), str(title), list(shares.items())[:3])
        for (item, title), shares in zip(shown, why, strict=True)
    ]
