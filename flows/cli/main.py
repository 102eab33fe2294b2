"""tierrec: the command line. Commands import their dependencies when called, so that --help is instant."""

import sys
import webbrowser
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import data, loop, privacy, projects, releases, shop, simulate, stack, storage, transfer
from flows.cli.common import (
    MODELS,
    OPERATE,
    SERVE,
    START,
    AsJson,
    bypass_proxies,
    enter_project,
    given_path,
    interruptible,
    open_standard_streams,
    print_json,
    project_layout,
)
from tierrec_core.base.errors import ArtifactError, DataError, TierRecError

if TYPE_CHECKING:
    from flows.project.tuning import TuningResult

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for module in (projects, data, simulate, releases, shop, loop, privacy, storage, transfer):
    app.add_typer(module.app)
for name, group, panel in (
    ("keys", shop.keys_app, SERVE),
    ("review", shop.review_app, SERVE),
    ("stack", stack.app, OPERATE),
):
    app.add_typer(group, name=name, rich_help_panel=panel)

_REASONS = 3


def main() -> None:
    """Run a command; an error that the user can fix is one message and exit code 2."""
    open_standard_streams()
    bypass_proxies()
    try:
        app()
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tierrec {version('tierrec')}")
        raise typer.Exit


@app.callback()
def _about(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("-C", exists=True, file_okay=False, help="Work in this folder (default: the current one)."),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """A recommender platform: data -> models -> tested Bento, in the project that the current folder belongs to."""
    enter_project(ctx, folder)


@app.command("run", rich_help_panel=START, epilog="Example: tierrec run --set models.ease.l2=300")
def _run(
    assignments: Annotated[list[str] | None, typer.Option("--set", help="key=value to set in params.yaml.")] = None,
    only: Annotated[str | None, typer.Option(help="Run one stage, such as train or train@ease.")] = None,
) -> None:
    """Run every stale stage, and show the leaderboard."""
    from rich.console import Console

    from flows.pipeline.train import run
    from flows.project.params import set_values

    layout, console = project_layout(), Console()
    set_values(layout.params, assignments or [])
    with interruptible("stopped; `tierrec run` resumes"):
        summary = run(layout.root, console, only)
    summary.show(console, layout)


@app.command("tune", rich_help_panel=MODELS, epilog="Example: tierrec tune ease --task discovery --trials 30")
def _tune(
    model: Annotated[str, typer.Argument(help="A model of params.yaml, or blend.")],
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, including those of earlier runs.")] = 30,
    task: Annotated[str | None, typer.Option(help="Task to optimise (default: package.task).")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write better options into params.yaml.")] = False,
) -> None:
    """Search a model's options on the validation window; after an interrupt the same command resumes."""
    from flows.project.params import set_values, write_patch
    from flows.project.tuning import tune
    from tierrec_core.settings import read_settings

    layout = project_layout()
    task = task or read_settings(layout.params).default_task
    with interruptible("stopped; the same command resumes the search"):
        result = tune(layout, model, task, trials, typer.echo)
    print(_describe_tuning(result))
    if not result.patch:
        return
    patch = layout.tuning / f"{model}-{task}.yaml"
    write_patch(patch, result.patch)
    if apply:
        set_values(layout.params, result.assignments)
        print(f"wrote params.yaml and {patch}. Next: tierrec run")
    else:
        assignments = (f"--set {assignment}" for assignment in result.assignments)
        print(f"wrote {patch}. Next: {' '.join(['tierrec run', *assignments])}")


@app.command("status", rich_help_panel=START, epilog="Example: tierrec status")
def _status(as_json: AsJson = False) -> None:
    """Show the stale stages, the last run, the data's age, and the Bentos that serve users."""
    from flows.project.status import ProjectStatus

    status = ProjectStatus.of(project_layout())
    if as_json:
        print_json(asdict(status))
    else:
        for line in status.describe():
            print(line)


@app.command("recommend", rich_help_panel=START, epilog="Example: tierrec recommend 1053 -k 5 --explain")
def _recommend(
    user: Annotated[str | None, typer.Argument(help="User id in the log.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids of an unknown user: a,b,c.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of items.")] = 10,
    task: Annotated[str | None, typer.Option(help="Task of params.yaml (default: package.task).")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what contributes most to each item's score.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user of the log, or to an unknown user with the given history."""
    from tierrec_core.base.ids import normal_id
    from tierrec_core.bundle.bundle import Bundle
    from tierrec_core.bundle.explain import reasons
    from tierrec_core.settings import read_settings

    if (user is None) == (history is None):
        raise DataError("recommend: give either USER or --history a,b,c")
    layout = project_layout()
    bundle = Bundle.load(layout.bundle)
    task = task or read_settings(layout.params).default_task
    if task not in bundle.tasks:
        raise DataError(f"recommend: task {task!r} is unknown; wanted one of {', '.join(bundle.tasks)}")
    seen = bundle.visitor((history or "").split(",")) if user is None else bundle.history_of(normal_id(user))
    if seen is None:
        raise DataError(f"recommend: user {user!r} is not in the log; give item ids instead with --history a,b,c")
    ranked = bundle.recommend(task, seen, k).items[0]
    columns = ranked[ranked >= 0]
    shares = bundle.explain(task, seen, columns) if explain else [{}] * len(columns)
    rows = bundle.items.iloc[columns][["item_id", "title"]].to_dict("records")
    for row, contributions in zip(rows, shares, strict=True):
        if explain:
            row["reasons"] = dict(list(reasons(contributions).items())[:_REASONS])
    if as_json:
        print_json(rows)
        return
    for rank, row in enumerate(rows, 1):
        print(f"{rank:3}  {row['item_id']}  {row['title']}")
        for name, share in row.get("reasons", {}).items():
            print(f"       {share:+.3f}  {name}")


@app.command("serve", rich_help_panel=SERVE, epilog="Example: tierrec serve --port 3000")
def _serve(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback only with API keys.")
    ] = "127.0.0.1",
) -> None:
    """Serve the packaged Bento until Ctrl-C."""
    from services.deployment.server import run_server

    run_server(project_layout(), port, workers, host)


@app.command("batch", rich_help_panel=SERVE, epilog="Example: tierrec batch lists --task discovery -k 20")
def _batch(
    folder: Annotated[Path, typer.Argument(callback=given_path, help="Output folder for the Parquet parts.")],
    task: Annotated[str | None, typer.Option(help="Task of params.yaml (default: package.task).")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Items per user.")] = 20,
) -> None:
    """Write the lists of all users to Parquet, part by part; an interrupted export resumes."""
    from services.releases.manifest import fingerprint
    from tierrec_core.bundle.batch import write_lists
    from tierrec_core.bundle.bundle import Bundle
    from tierrec_core.settings import read_settings

    layout = project_layout()
    bundle, task = layout.bundle, task or read_settings(layout.params).default_task
    write_lists(Bundle.load(bundle), task, folder, fingerprint=fingerprint(bundle), k=k, progress=print)


@app.command("report", rich_help_panel=START, epilog="Example: tierrec report --open")
def _report(show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False) -> None:
    """Print the path of the report."""
    page = project_layout().report
    if not page.exists():
        raise ArtifactError(f"{page}: is missing; `tierrec run` writes it")
    print(page)
    if show:
        webbrowser.open(page.resolve().as_uri())


@app.command("doctor", rich_help_panel=START, epilog="Example: tierrec doctor")
def _doctor(as_json: AsJson = False) -> None:
    """Check versions, disk, memory, ports and optional programs."""
    from flows.project.doctor import diagnose
    from flows.stack.status import stack_status

    addresses = [part.where for part in stack_status(Path.cwd()) if part.state == "running"]
    findings = list(diagnose(Path.cwd(), addresses))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok ' if finding.is_ok else 'BAD'}  {finding.name:12} {finding.detail}")
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


def _describe_tuning(result: "TuningResult") -> str:
    from tierrec_core.tuning.study import format_options

    gain = result.gain
    difference = f"{gain.value:+.5f} [{gain.low:+.5f}, {gain.high:+.5f}]"
    if not result.patch:
        return f"nothing better than params.yaml: {result.present.value:.5f}, best other {difference}"
    caveat = "" if gain.low > 0 else "; the difference may be chance"
    metrics = f"ndcg@10 {result.present.value:.5f} -> {result.best.value:.5f}, {difference}{caveat}"
    return f"{'.'.join(result.block)}: {format_options(result.options)}\n{metrics}"
