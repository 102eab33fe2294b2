"""tierrec init, tierrec add: describe the files of a project, and take further ones."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import START, given_path, project_layout
from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from tierrec_core.sources.schema_inference import Guess

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.command(
    "init", rich_help_panel=START, epilog="Example: tierrec init log.csv --time-column ts --event buy=purchase --yes"
)
def _init(
    files: Annotated[
        list[Path], typer.Argument(callback=given_path, help="Files, quoted globs such as 'logs/*.csv', or folders.")
    ],
    user_column: Annotated[str | None, typer.Option(help="User id column.")] = None,
    item_column: Annotated[str | None, typer.Option(help="Item id column.")] = None,
    event_column: Annotated[str | None, typer.Option(help="Event type column; '' for none.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Timestamp column.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Event type, as NAME_IN_LOG=NAME_IN_TIERREC.")] = None,
    default_event: Annotated[str | None, typer.Option(help="Event of all rows without an event column.")] = None,
    separator: Annotated[str | None, typer.Option(help="Column separator of CSV files.")] = None,
    quote: Annotated[str | None, typer.Option(help="Quotation mark of CSV files; '' if marks are text.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of CSV files, such as cp1252.")] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal mark of CSV files: . or ,")] = None,
    explode: Annotated[str | None, typer.Option(help="Parquet column of item lists; an item becomes a row.")] = None,
    time_format: Annotated[
        list[str] | None,
        typer.Option(help="Format of timestamps, such as '%d/%m/%Y %H:%M'; of one file, as FILE=FORMAT."),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of timestamps without an offset.")] = None,
    items: Annotated[Path | None, typer.Option(callback=given_path, help="File of item attributes.")] = None,
    users: Annotated[
        Path | None, typer.Option(callback=given_path, help="File of user attributes, for audits.")
    ] = None,
    guest: Annotated[list[str] | None, typer.Option(help="User id of guests, '' if it is empty.")] = None,
    unit_price: Annotated[
        bool | None, typer.Option("--unit-price/--line-total", help="Whether values are prices of one piece.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of the values that count; '' if there is one.")] = None,
    minor_units: Annotated[
        list[str] | None, typer.Option(help="Column of values in cents or micros; '' for none.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Further rows to leave out, as COLUMN=VALUE; '' to keep those that are proposed."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the settings and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Show them as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
) -> None:
    """Infer the format of event logs (CSV, JSON lines, Parquet), propose settings, and write them into params.yaml."""
    from flows.project.params import replace_sections
    from tierrec_core.sources.schema_inference import propose_settings

    layout = project_layout()
    if not (dry_run or layout.params.exists()):
        raise SettingsError(
            f"{layout.params}: is missing; make a project by `tierrec new myshop` and run `tierrec init` there, or see "
            "what it would write by --dry-run"
        )
    options = {
        "user_column": user_column,
        "item_column": item_column,
        "event_column": event_column,
        "time_column": time_column,
        "events": dict(text.partition("=")[::2] for text in event or ()) or None,
        "default_event": default_event,
        "separator": separator,
        "quote": quote,
        "encoding": encoding,
        "decimal": decimal,
        "explode": explode,
        "time_format": next((text for text in time_format or () if "=" not in text), None),
        "time_formats": dict(text.split("=", 1) for text in time_format or () if "=" in text) or None,
        "timezone": timezone,
        "items_path": None if items is None else str(items),
        "users_path": None if users is None else str(users),
        "guests": guest,
        "unit_price": unit_price,
        "currency": currency,
        "minor_units": None if minor_units is None else [name for name in minor_units if name],
        "exclude": _values_by_column(exclude or ()),
        "infer_exclude": "" not in (exclude or ()),
    }
    overrides = {name: value for name, value in options.items() if value is not None}
    proposal = propose_settings(files, overrides)
    if as_json:
        guesses = [asdict(guess) | {"override": guess.override} for guess in proposal.guesses]
        print(json.dumps({"patch": proposal.patch, "guesses": guesses, "warnings": proposal.warnings}, indent=2))
    else:
        _show_guesses(proposal.guesses)
        _show_patch(proposal.patch)
        for line in proposal.warnings:
            typer.echo(f"warning: {line}", err=True)
    if dry_run:
        return
    if not yes and sys.stdin.isatty() and not typer.confirm("Write this to params.yaml?", default=True):
        raise typer.Exit(1)
    replace_sections(layout.params, proposal.patch)
    typer.echo("wrote params.yaml. Next: tierrec run", err=as_json)


def _values_by_column(pairs: Sequence[str]) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for column, _, value in (text.rpartition("=") for text in pairs if text):
        found.setdefault(column, []).append(value)
    return found


@app.command("add", rich_help_panel=START, epilog="Example: tierrec add deliveries/2024-05-01.csv")
def _add(
    files: Annotated[
        list[Path], typer.Argument(callback=given_path, help="Further files of the log, written as the others are.")
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Drop earlier rows of the files' days.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Keep earlier rows of the files' days, too.")] = False,
) -> None:
    """Check files of new events as the next run will do it, and copy them into the project, where it reads them."""
    from flows.project.deliveries import Overlap, add_deliveries
    from tierrec_core.settings import read_settings

    if replace and append:
        raise SettingsError("add: --replace and --append exclude one another; give one of them")
    layout = project_layout()
    overlap: Overlap = "replace" if replace else "append" if append else "refuse"
    for line in add_deliveries(layout, read_settings(layout.params), files, overlap):
        print(line)
    print("Next: tierrec run")


def _show_guesses(guesses: Sequence["Guess"]) -> None:
    """Print the inferred settings and the evidence for them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "evidence", "override", box=None)
    for guess in guesses:
        table.add_row(*(Text(cell) for cell in (guess.place, guess.value, guess.evidence, guess.override)))
    Console().print(table)


def _show_patch(patch: dict[str, Any], prefix: str = "") -> None:
    """Print one line per setting, with dotted keys."""
    for key, value in patch.items():
        if isinstance(value, dict) and value:
            _show_patch(value, f"{prefix}{key}.")
        else:
            print(f"{prefix + key:32} {value}")
