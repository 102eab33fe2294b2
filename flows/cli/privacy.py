"""tierrec forget: erases a user, and shows what still holds them."""

from typing import Annotated

import typer

from flows.cli.common import OPERATE, project_layout
from tierrec_core.base.errors import SettingsError

app = typer.Typer(no_args_is_help=True)

_MAX_SHOWN = 5


@app.command(
    "forget", rich_help_panel=OPERATE, epilog="Example: tierrec forget 1053; tierrec run; tierrec forget 1053 --clean"
)
def _forget(
    user: Annotated[str, typer.Argument(help="User id, as in the log.")],
    clean: Annotated[
        bool, typer.Option("--clean", help="After `tierrec run`: delete outdated objects, models and pages.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Change nothing; list each file that has the user.")] = False,
) -> None:
    """Erase a user from the store, its exports and deliveries, and leave them out of every later run.

    With --clean and --verify the exit code is 1 while any file still has the user.
    """
    from flows.privacy.cleaning import clean_old_objects
    from flows.privacy.erasure import forget_user
    from flows.privacy.traces import find_traces
    from flows.project.lock import project_lock
    from tierrec_core.settings import read_settings
    from tierrec_core.sources.input_files.forgotten import plain_user_id

    if clean and verify:
        raise SettingsError("forget: --clean verifies, too; give one of --clean and --verify")
    layout, user_id = project_layout(), plain_user_id(user)
    settings = read_settings(layout.params)
    if not verify:
        steps = clean_old_objects if clean else forget_user
        for line in steps(layout, settings, user_id):
            typer.echo(line)
    with project_lock(layout.root, "forget", typer.echo):  # a run writes and deletes files
        result = find_traces(layout, settings, user_id)
    is_checked = clean or verify
    for line in result.describe(max_shown=None if is_checked else _MAX_SHOWN):
        typer.echo(line)
    if is_checked and result.certain:
        raise typer.Exit(1)
