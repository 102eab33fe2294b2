"""tierrec deploy, promote, rollback, releases, manifests: which Bentos serve the users, and where they run."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import SERVE, AsJson, Folder, given_path, print_json, project_layout

if TYPE_CHECKING:
    from flows.project.release_log import ReleaseChange
    from services.deployment.kubernetes import KubernetesSettings
    from services.releases.pointer import Pointer
    from tierrec_core.base.paths import Layout

app = typer.Typer(no_args_is_help=True)

_ORIGIN = ("git_revision", "dvc_lock", "params")  # labels other than metrics
_DIGITS = 12
_REASON = "by a user"


@app.command("deploy", rich_help_panel=SERVE, epilog="Example: tierrec deploy --share 0.2")
def _deploy(
    tag: Annotated[str | None, typer.Argument(help="Tag of a Bento (default: the packaged one).")] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of users that the challenger serves (default: rollout.share)."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Make a Bento that passes its smoke test the challenger, or the champion if there is none."""
    started = datetime.now(UTC)
    from flows.project.champion import deploy_release, describe_serving

    seen = _seen(started, folder)
    typer.echo(describe_serving(deploy_release(project_layout(), tag, share=share, folder=folder, seen=seen)))


@app.command("promote", rich_help_panel=SERVE, epilog="Example: tierrec promote")
def _promote(folder: Folder = None) -> None:
    """Make the challenger the champion."""
    started = datetime.now(UTC)
    from flows.project.champion import describe_serving, promote_release

    reason, seen = f"promoted {_REASON}", _seen(started, folder)
    typer.echo(describe_serving(promote_release(project_layout(), reason=reason, folder=folder, seen=seen)))


@app.command("rollback", rich_help_panel=SERVE, epilog="Example: tierrec rollback")
def _rollback(folder: Folder = None) -> None:
    """Remove the challenger or, if there is none, restore the previous champion."""
    started = datetime.now(UTC)
    from flows.project.champion import describe_serving, roll_back_release

    reason, seen = f"rolled back {_REASON}", _seen(started, folder)
    typer.echo(describe_serving(roll_back_release(project_layout(), reason=reason, folder=folder, seen=seen)))


@app.command("releases", rich_help_panel=SERVE, epilog="Example: tierrec releases")
def _releases(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the Bentos of the store, newest first, with their role, metrics, commit and last change."""
    from flows.project.champion import read_pointer
    from flows.project.release_log import list_releases
    from services.deployment.bento_store import list_bentos

    layout = project_layout()
    status = _fetch(layout, folder)
    pointer, bentos = read_pointer(layout, folder), list_bentos(layout)
    changes = {record.tag: record.changes for record in list_releases(layout)}
    if as_json:
        roles = {bento.tag: _role(bento.tag, pointer) for bento in bentos}
        print_json(
            [
                asdict(bento)
                | {"role": roles[bento.tag], "changes": [change.model_dump() for change in changes.get(bento.tag, ())]}
                for bento in bentos
            ]
        )
        return
    for bento in bentos:
        metrics = "  ".join(f"{name} {value}" for name, value in sorted(bento.labels.items()) if name not in _ORIGIN)
        change = _last_change(changes.get(bento.tag, ()))
        revision = bento.labels.get("git_revision", "none")[:_DIGITS]
        typer.echo(
            f"{bento.tag}  {_role(bento.tag, pointer):15}  {metrics}  git {revision}  {bento.built[:16]}{change}"
        )
    missing = set() if pointer is None else pointer.in_use - {bento.tag for bento in bentos}
    for tag in sorted(missing):
        typer.echo(f"{tag}  {_role(tag, pointer):15}  is no longer in the store")
    if status:
        typer.echo(status)


@app.command(
    "manifests",
    rich_help_panel=SERVE,
    epilog="Example: tierrec manifests --out deploy --image registry.example.org/shop:1",
)
def _manifests(
    out: Annotated[Path, typer.Option(callback=given_path, help="Output folder.")],
    image: Annotated[str | None, typer.Option(help="Container image (default: the champion's tag).")] = None,
    namespace: Annotated[str | None, typer.Option(help="Kubernetes namespace (default: default).")] = None,
    name: Annotated[str | None, typer.Option(help="Name of all resources (default: tierrec).")] = None,
    secret: Annotated[str | None, typer.Option(help="Secret with store-url and keys.json (default: tierrec).")] = None,
    folder: Folder = None,
) -> None:
    """Write Kubernetes manifests and the champion's Dockerfile."""
    from flows.project.champion import pointer_path
    from services.auth.keys import FILE
    from services.deployment.kubernetes import KubernetesSettings, dockerfile, render_manifests
    from services.releases.pointer import Pointer
    from tierrec_core.base import artifacts
    from tierrec_core.settings import parse

    path = pointer_path(project_layout(), folder)
    if status := _fetch(project_layout(), folder):  # an old pointer would be applied with the other files
        typer.echo(status, err=True)
    pointer = Pointer.read(path)
    options = {"image": image, "namespace": namespace, "name": name, "secret": secret}
    settings = parse(KubernetesSettings, {key: value for key, value in options.items() if value}, "manifests")
    files = dict(render_manifests(settings, pointer))
    files["Dockerfile"] = dockerfile(project_layout(), pointer.champion.bento)
    for file, text in files.items():
        with artifacts.replacing_file(out / file) as fresh:
            fresh.write_text(text)
    _show_next_steps(out, files, settings, pointer.champion.bento, path.parent / FILE)


def _last_change(changes: "Sequence[ReleaseChange]") -> str:
    return f"  {changes[-1].state} {changes[-1].at[:16]}: {changes[-1].reason}" if changes else ""


def _fetch(layout: "Layout", folder: Path | None) -> str:
    """Make the pointer file a copy of the target's; returns the target's status, or why it does not answer."""
    from flows.project.champion import fetch_pointer
    from tierrec_core.base.errors import ArtifactError

    try:
        target = fetch_pointer(layout, folder)
        return target.status() if target else ""
    except ArtifactError as error:
        return f"the target does not answer, so the roles are those of the last change made here: {error}"


def _seen(started: datetime, folder: Path | None) -> int:
    """The pointer's revision when the command was started: imports take seconds, in which another may change it."""
    from flows.project.champion import pointer_path
    from services.releases.pointer import revision_at

    return revision_at(pointer_path(project_layout(), folder), started)


def _role(tag: str, pointer: "Pointer | None") -> str:
    if pointer is None or tag not in pointer.in_use:
        return "-"
    if tag == pointer.champion.bento:
        return f"champion {1 - pointer.share:.0%}"
    challenger = pointer.challenger
    return f"challenger {pointer.share:.0%}" if challenger and tag == challenger.bento else "previous"


def _show_next_steps(
    out: Path, files: Iterable[str], settings: "KubernetesSettings", tag: str, keys_file: Path
) -> None:
    typer.echo(f"{out}: {', '.join(sorted(files))}. Next:")
    image = f" -t {settings.image}" if settings.image else ""
    typer.echo(f"  BENTOML_HOME=.bentoml bentoml containerize {tag}{image}")
    typer.echo(
        f"  kubectl -n {settings.namespace} create secret generic {settings.secret} "
        f"--from-literal=store-url=postgresql://... --from-file={keys_file}"
    )
    typer.echo(f"  kubectl apply -f {out}")
