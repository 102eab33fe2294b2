"""tierrec keys, review, experiments: the API keys, the review list and the experiments of a shop."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import SERVE, AsJson, Folder, StoreUrl, print_json, project_layout

if TYPE_CHECKING:
    from rich.table import Table

    from services.experiments import Experiment, VariantResult
    from services.rules.review import ReviewEdit
    from tierrec_core.evaluation.bootstrap import ConfidenceInterval

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Add, list, rotate and revoke API keys.")
review_app = typer.Typer(no_args_is_help=True, help="Block items, and approve items that need approval.")

Items = Annotated[list[str], typer.Argument(help="Item ids.")]


@keys_app.command("add", epilog="Example: tierrec keys add shop --scope read --scope write --days 90")
def _add_key(
    label: Annotated[str, typer.Argument(help="Name of the client that will use the key.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin (default: read).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: never).")] = None,
    folder: Folder = None,
) -> None:
    """Create a key and print it once."""
    from services.auth.keys import add_key

    lifetime = timedelta(days=days) if days else None
    key, token = add_key(_keys_file(folder), label, tuple(scope or ["read"]), lifetime)
    _print_once(token, f"key {key.id} of {label!r} may {', '.join(key.scopes)}")


@keys_app.command("list", epilog="Example: tierrec keys list")
def _list_keys(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the keys: id, label, scopes and expiry. Only their hashes are stored."""
    from services.auth.keys import Keyring

    path = _keys_file(folder)
    keys = Keyring.read(path).keys.values()
    if as_json:
        print_json([key.model_dump(mode="json", exclude={"hash"}) for key in keys])
        return
    for key in keys:
        until = f"until {key.expires:%Y-%m-%d %H:%M}" if key.expires else "never expires"
        scopes = ",".join(key.scopes)
        typer.echo(f"{key.id}  {key.label:20}  {scopes:16}  since {key.created:%Y-%m-%d %H:%M}  {until}")
    _warn_if_open(path)


@keys_app.command("rotate", epilog="Example: tierrec keys rotate shop")
def _rotate_key(
    label: Annotated[str, typer.Argument(help="Label of the key to replace.")], folder: Folder = None
) -> None:
    """Create a second key with the label and scopes of the first, which stays valid until it is revoked."""
    from services.auth.keys import rotate_key

    key, token, first = rotate_key(_keys_file(folder), label)
    _print_once(token, f"key {key.id} of {label!r}; then: tierrec keys revoke {first.id}")


@keys_app.command("revoke", epilog="Example: tierrec keys revoke 1f2e3d4c")
def _revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id, as `tierrec keys list` shows it.")], folder: Folder = None
) -> None:
    """Revoke a key at once."""
    from services.auth.keys import revoke_key

    path = _keys_file(folder)
    key = revoke_key(path, key_id)
    typer.echo(f"key {key.id} of {key.label!r} is revoked")
    _warn_if_open(path)


def _keys_file(folder: Path | None) -> Path:
    from services.auth.keys import FILE
    from services.shared_files import serving_folder

    return serving_folder(project_layout(), folder) / FILE


def _print_once(token: str, description: str) -> None:
    """Print the key alone to standard output, so that it can be piped into a secret store."""
    typer.echo(token)
    typer.echo(f"{description}. It is not shown again; only its hash is stored.", err=True)


def _warn_if_open(path: Path) -> None:
    from services.auth.keys import Keyring

    if Keyring.read(path).open:
        typer.echo("WARNING: no key is configured; the server will accept requests from this machine only", err=True)


def _add_review_command(edit: "ReviewEdit", effect: str) -> None:
    @review_app.command(edit, help=effect, epilog=f"Example: tierrec review {edit} 1082185 981760")
    def command(items: Items, folder: Folder = None) -> None:
        from services.rules.review import edit_review
        from services.shared_files import serving_folder

        path = serving_folder(project_layout(), folder) / "review.yaml"
        review = edit_review(path, edit, items)
        print(f"{path}: {len(review.blocked)} blocked, {len(review.approval.approved)} approved")


_add_review_command("block", "Hide items on every surface, from the next request on.")
_add_review_command("unblock", "Remove items from the block list.")
_add_review_command("approve", "Approve items that review.yaml hides until they are approved.")
_add_review_command("withdraw", "Withdraw the approval of items.")


@app.command("experiments", rich_help_panel=SERVE, epilog="Example: tierrec experiments --folder data/serving")
def _experiments(folder: Folder = None, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Show each experiment's variants: conversion, difference to the first with its always-valid interval, verdict."""
    from rich.console import Console

    from flows.project.feedback_store import open_store
    from services.experiments import Experiments, all_results
    from services.shared_files import serving_folder

    path = serving_folder(project_layout(), folder) / "experiments.yaml"
    console, experiments = Console(), Experiments.read(path)
    if not experiments.by_name and not as_json:
        console.print(f"no experiments: {path} has none", soft_wrap=True)
        return
    with open_store(project_layout(), folder, store) as feedback:
        found = all_results(experiments, feedback)
        if as_json:
            print_json({name: [asdict(result) for result in results] for name, results in found.items()})
            return
        for name, results in found.items():
            console.print(_table(name, experiments.by_name[name], results))
            if results[0].mismatch:
                console.print(
                    f"{name}: users did not arrive in the planned shares (p = {results[0].split_p_value:.2g}); "
                    "find the cause before using any of the differences"
                )


def _table(name: str, experiment: "Experiment", results: list["VariantResult"]) -> "Table":
    from rich.table import Table

    title = f"{name}: {experiment.goal} within {experiment.horizon_hours:g} h"
    table = Table("variant", "share", "users", "rate", "difference to the first", "verdict", title=title)
    for result in results:
        table.add_row(
            result.variant,
            f"{result.share:.0%}",
            f"{result.users:,}",
            _percentages(result.rate),
            _percentages(result.difference, "+") if result.difference else "",
            result.verdict,
        )
    return table


def _percentages(interval: "ConfidenceInterval", sign: str = "") -> str:
    """A value and its interval in percent, or a difference in percentage points."""
    value, low, high = (f"{100 * bound:{sign}.2f}" for bound in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
