"""tierrec review: what nobody may see, and what a person has approved."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from services.rules.review import Review

app = typer.Typer(no_args_is_help=True, help="Block items, and approve those that need it.")

Items = Annotated[list[str], typer.Argument(help="Item ids.")]
Folder = Annotated[Path | None, typer.Option(help="State folder of a shop (default: data/serving).")]


@app.command()
def block(items: Items, folder: Folder = None) -> None:
    """Let nobody see these items, on any surface, from the next request on.

    Example: tierrec review block 1082185 981760
    """
    from services.rules.review import block as act

    _edit(act, items, folder)


@app.command()
def unblock(items: Items, folder: Folder = None) -> None:
    """Take items off the block list.

    Example: tierrec review unblock 1082185
    """
    from services.rules.review import unblock as act

    _edit(act, items, folder)


@app.command()
def approve(items: Items, folder: Folder = None) -> None:
    """Let items be seen that review.yaml wants approved.

    Example: tierrec review approve 1082185
    """
    from services.rules.review import approve as act

    _edit(act, items, folder)


@app.command()
def withdraw(items: Items, folder: Folder = None) -> None:
    """Take an approval back.

    Example: tierrec review withdraw 1082185
    """
    from services.rules.review import withdraw as act

    _edit(act, items, folder)


def _edit(act: Callable[[Path, Sequence[str]], "Review"], items: list[str], folder: Path | None) -> None:
    path = (folder or Layout(Path.cwd()).serving) / "review.yaml"
    review = act(path, items)
    print(f"{path}: {len(review.blocked)} blocked, {len(review.approval.approved)} approved")
