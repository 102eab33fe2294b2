"""tierrec review: edit the block list and the approvals of a shop's review.yaml."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import Folder, project_layout

if TYPE_CHECKING:
    from services.rules.review import Review

app = typer.Typer(no_args_is_help=True, help="Block items, and approve items that need approval.")

Items = Annotated[list[str], typer.Argument(help="Item ids.")]


@app.command("block")
def _block(items: Items, folder: Folder = None) -> None:
    """Hide items on every surface, from the next request on.

    Example: tierrec review block 1082185 981760
    """
    from services.rules.review import block

    _edit(block, items, folder)


@app.command("unblock")
def _unblock(items: Items, folder: Folder = None) -> None:
    """Remove items from the block list.

    Example: tierrec review unblock 1082185
    """
    from services.rules.review import unblock

    _edit(unblock, items, folder)


@app.command("approve")
def _approve(items: Items, folder: Folder = None) -> None:
    """Approve items that review.yaml hides until they are approved.

    Example: tierrec review approve 1082185
    """
    from services.rules.review import approve

    _edit(approve, items, folder)


@app.command("withdraw")
def _withdraw(items: Items, folder: Folder = None) -> None:
    """Withdraw the approval of items.

    Example: tierrec review withdraw 1082185
    """
    from services.rules.review import withdraw

    _edit(withdraw, items, folder)


def _edit(change: Callable[[Path, Sequence[str]], "Review"], items: list[str], folder: Path | None) -> None:
    from services.shared_files import serving_folder

    path = serving_folder(project_layout(), folder) / "review.yaml"
    review = change(path, items)
    print(f"{path}: {len(review.blocked)} blocked, {len(review.approval.approved)} approved")
