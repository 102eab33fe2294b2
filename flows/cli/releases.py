"""tierrec deploy, promote, rollback, releases, keys, manifests: who answers, who may ask, and where it runs."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from services.deployment.kubernetes import Manifests
    from services.releases.pointer import Pointer

app = typer.Typer(no_args_is_help=True)
keys = typer.Typer(no_args_is_help=True, help="Add, list, rotate and revoke API keys.")
app.add_typer(keys, name="keys")

Folder = Annotated[Path | None, typer.Option(help="State folder of a shop (default: data/serving).")]
_ORIGIN = ("git_revision", "dvc_lock", "params")  # labels that are no metrics
_DIGITS = 12


@app.command()
def deploy(
    tag: Annotated[
        str | None, typer.Argument(help="A Bento of the store; the packaged one if left out.")
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="The challenger's share of the users.")] = 0.1,
    folder: Folder = None,
) -> None:
    """Make a Bento that passes its smoke test the challenger, or the champion if there is none.

    Example: tierrec deploy --share 0.2
    """
    from services.deployment.admission import admit
    from services.releases import pointer as releases
    from tierrec_core.settings import read_settings

    layout = Layout(Path.cwd())
    report = admit(layout, read_settings(layout.params), tag)
    _tell(releases.deploy(_pointer(folder), report, share))


@app.command()
def promote(folder: Folder = None) -> None:
    """Make the challenger the champion.

    Example: tierrec promote
    """
    from services.releases import pointer as releases

    _tell(releases.promote(_pointer(folder)))


@app.command()
def rollback(folder: Folder = None) -> None:
    """Take the challenger away or, where there is none, bring back the champion before this one.

    Example: tierrec rollback
    """
    from services.deployment.admission import stored
    from services.releases import pointer as releases

    tags = {one.tag for one in stored(Layout(Path.cwd()))}
    _tell(releases.rollback(_pointer(folder), tags))


@app.command("releases")
def show_releases(folder: Folder = None) -> None:
    """List the Bentos of the store, the newest first: who answers, how good, from which commit.

    Example: tierrec releases
    """
    from services.deployment.admission import stored
    from services.releases.pointer import Pointer

    path = _pointer(folder)
    pointer = Pointer.read(path) if path.exists() else None
    bentos = stored(Layout(Path.cwd()))
    for one in bentos:
        metrics = "  ".join(
            f"{name} {value}" for name, value in sorted(one.labels.items()) if name not in _ORIGIN
        )
        revision = one.labels.get("git_revision", "none")[:_DIGITS]
        typer.echo(f"{one.tag}  {_state(one.tag, pointer):15}  {metrics}  git {revision}  {one.built[:16]}")
    lost = set() if pointer is None else pointer.in_use - {one.tag for one in bentos}
    for tag in sorted(lost):
        typer.echo(f"{tag}  {_state(tag, pointer):15}  is not in the store any more")


@app.command()
def manifests(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    image: Annotated[str | None, typer.Option(help="(default: the champion's tag).")] = None,
    namespace: Annotated[str | None, typer.Option(help="Of the cluster (default: default).")] = None,
    name: Annotated[str | None, typer.Option(help="Of all that is made (default: tierrec).")] = None,
    secret: Annotated[str | None, typer.Option(help="Holds store-url, keys.json (default: tierrec).")] = None,
    folder: Folder = None,
) -> None:
    """Write Kubernetes manifests and the champion's Dockerfile.

    Example: tierrec manifests --out deploy --image registry.example.org/shop:1
    """
    from services.deployment.kubernetes import Manifests, dockerfile, render
    from services.releases.pointer import Pointer
    from tierrec_core.base import artifacts
    from tierrec_core.settings import parse

    pointer = Pointer.read(_pointer(folder))
    given = {"image": image, "namespace": namespace, "name": name, "secret": secret}
    settings = parse(Manifests, {key: value for key, value in given.items() if value}, "manifests")
    files = dict(render(settings, pointer))
    files["Dockerfile"] = dockerfile(Layout(Path.cwd()), pointer.champion.bento)
    for file, text in files.items():
        with artifacts.replacing_file(out / file) as fresh:
            fresh.write_text(text)
    _show_next_steps(out, files, settings, pointer.champion.bento, _keys(folder))


@keys.command()
def add(
    label: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin (default: read).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Until it expires (default: never).")] = None,
    folder: Folder = None,
) -> None:
    """Make a key and show it, once.

    Example: tierrec keys add shop --scope read --scope write --days 90
    """
    from services.auth.keys import add_key as add_key

    lifetime = timedelta(days=days) if days else None
    key, token = add_key(_keys(folder), label, tuple(scope or ["read"]), lifetime)
    _show_once(token, f"key {key.id} of {label!r} may {', '.join(key.scopes)}")


@keys.command("list")
def show_keys(folder: Folder = None) -> None:
    """List the keys: id, label, scopes, and until when; the keys themselves are nowhere.

    Example: tierrec keys list
    """
    from services.auth.keys import Keyring

    path = _keys(folder)
    for key in Keyring.read(path).keys.values():
        until = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "ever"
        scopes = ",".join(key.scopes)
        typer.echo(
            f"{key.id}  {key.label:20}  {scopes:16}  since {key.created:%Y-%m-%d %H:%M}  until {until}"
        )
    _warn_if_open(path)


@keys.command()
def rotate(label: Annotated[str, typer.Argument(help="Whose key.")], folder: Folder = None) -> None:
    """Make a second key for a label, as wide as the first, which stays until it is revoked.

    Example: tierrec keys rotate shop
    """
    from services.auth.keys import rotate_key as rotate_key

    key, token, first = rotate_key(_keys(folder), label)
    _show_once(token, f"key {key.id} of {label!r}; then: tierrec keys revoke {first.id}")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `tierrec keys list` shows it.")], folder: Folder = None
) -> None:
    """Take a key away at once.

    Example: tierrec keys revoke 1f2e3d4c
    """
    from services.auth.keys import revoke_key as revoke_key

    path = _keys(folder)
    gone = revoke_key(path, key_id)
    typer.echo(f"key {gone.id} of {gone.label!r} is revoked")
    _warn_if_open(path)


def _state_folder(folder: Path | None) -> Path:
    return folder or Layout(Path.cwd()).data / "serving"


def _pointer(folder: Path | None) -> Path:
    return _state_folder(folder) / "pointer.json"


def _keys(folder: Path | None) -> Path:
    return _state_folder(folder) / "keys.json"


def _tell(pointer: "Pointer") -> None:
    """Who answers now."""
    if pointer.challenger is None:
        typer.echo(f"{pointer.champion.bento} answers all users")
    else:
        typer.echo(
            f"{pointer.champion.bento} answers, and {pointer.challenger.bento} {pointer.share:.1%} of users"
        )


def _state(tag: str, pointer: "Pointer | None") -> str:
    if pointer is None or tag not in pointer.in_use:
        return "-"
    if tag == pointer.champion.bento:
        return f"champion {1 - pointer.share:.0%}"
    challenger = pointer.challenger
    return f"challenger {pointer.share:.0%}" if challenger and tag == challenger.bento else "previous"


def _show_next_steps(out: Path, files: Iterable[str], made: "Manifests", tag: str, keys_file: Path) -> None:
    typer.echo(f"{out}: {', '.join(sorted(files))}. Next:")
    image = f" -t {made.image}" if made.image else ""
    typer.echo(f"  BENTOML_HOME=.bentoml bentoml containerize {tag}{image}")
    typer.echo(
        f"  kubectl -n {made.namespace} create secret generic {made.secret} "
        f"--from-literal=store-url=postgresql://... --from-file={keys_file}"
    )
    typer.echo(f"  kubectl apply -f {out}")


def _show_once(token: str, about: str) -> None:
    """The key alone goes to standard output, so that it can be piped into a vault."""
    typer.echo(token)
    typer.echo(f"{about}. It is shown this once; only its hash is kept.", err=True)


def _warn_if_open(path: Path) -> None:
    from services.auth.keys import Keyring

    if Keyring.read(path).open:
        typer.echo("WARNING: no key is configured; the server will answer this machine only", err=True)
