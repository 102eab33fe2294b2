"""tierrec keys: add, list, rotate and revoke the API keys of a shop."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import Folder, project_layout

app = typer.Typer(no_args_is_help=True, help="Add, list, rotate and revoke API keys.")


@app.command("add")
def _add(
    label: Annotated[str, typer.Argument(help="Name of the client that will use the key.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin (default: read).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: never).")] = None,
    folder: Folder = None,
) -> None:
    """Create a key and print it once.

    Example: tierrec keys add shop --scope read --scope write --days 90
    """
    from services.auth.keys import add_key

    lifetime = timedelta(days=days) if days else None
    key, token = add_key(_keys_file(folder), label, tuple(scope or ["read"]), lifetime)
    _print_once(token, f"key {key.id} of {label!r} may {', '.join(key.scopes)}")


@app.command("list")
def _list(folder: Folder = None) -> None:
    """List the keys: id, label, scopes and expiry. Only their hashes are stored.

    Example: tierrec keys list
    """
    from services.auth.keys import Keyring

    path = _keys_file(folder)
    for key in Keyring.read(path).keys.values():
        until = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "ever"
        scopes = ",".join(key.scopes)
        typer.echo(f"{key.id}  {key.label:20}  {scopes:16}  since {key.created:%Y-%m-%d %H:%M}  until {until}")
    _warn_if_open(path)


@app.command("rotate")
def _rotate(label: Annotated[str, typer.Argument(help="Label of the key to replace.")], folder: Folder = None) -> None:
    """Create a second key with the label and scopes of the first, which stays valid until it is revoked.

    Example: tierrec keys rotate shop
    """
    from services.auth.keys import rotate_key

    key, token, first = rotate_key(_keys_file(folder), label)
    _print_once(token, f"key {key.id} of {label!r}; then: tierrec keys revoke {first.id}")


@app.command("revoke")
def _revoke(
    key_id: Annotated[str, typer.Argument(help="Id, as `tierrec keys list` shows it.")], folder: Folder = None
) -> None:
    """Revoke a key at once.

    Example: tierrec keys revoke 1f2e3d4c
    """
    from services.auth.keys import revoke_key

    path = _keys_file(folder)
    key = revoke_key(path, key_id)
    typer.echo(f"key {key.id} of {key.label!r} is revoked")
    _warn_if_open(path)


def _keys_file(folder: Path | None) -> Path:
    from services.auth.keys import FILE
    from services.shared_files import serving_folder

    return serving_folder(project_layout(), folder) / FILE


def _print_once(token: str, about: str) -> None:
    """Print the key alone to standard output, so that it can be piped into a secret store."""
    typer.echo(token)
    typer.echo(f"{about}. It is shown this once; only its hash is kept.", err=True)


def _warn_if_open(path: Path) -> None:
    from services.auth.keys import Keyring

    if Keyring.read(path).open:
        typer.echo("WARNING: no key is configured; the server will answer this machine only", err=True)
