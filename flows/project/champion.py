"""The Bentos that serve a shop: finds the champion and its bundle; deploys, promotes and rolls back releases."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from flows.project.release_log import note_release, write_release
from services.deployment.bento_store import bundle_of, list_bentos
from services.releases import pointer as pointers
from services.releases.manifest import SmokeReport
from services.releases.pointer import FILE, Deployed, Pointer
from services.shared_files import serving_folder
from services.targets.target import DeploymentTarget, find_target
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings


@dataclass(frozen=True)
class Champion:
    """Tags of the champion's Bento and model, and the folder of the model's bundle."""

    bento: str
    model: str
    bundle: Path

    @classmethod
    def find(cls, layout: Layout) -> Self | None:
        """The pointer's champion, or else the packaged Bento; None when no Bento was packaged yet.

        Raises ArtifactError when the store no longer has its model.
        """
        pointer = read_pointer(layout)
        if pointer is None:
            return None
        champion, is_packaged = pointer.champion, not pointer_path(layout).exists()
        bundle = layout.bundle if is_packaged else bundle_of(layout, champion.model)
        return cls(champion.bento, champion.model, bundle)

    @classmethod
    def require(cls, layout: Layout) -> Self:
        """As `find`. Raises ArtifactError when no Bento was packaged yet."""
        champion = cls.find(layout)
        if champion is None:
            raise ArtifactError(f"{layout.bento}: is missing, wanted a champion to monitor; run `tierrec run`")
        return champion


def pointer_path(layout: Layout, folder: Path | None = None) -> Path:
    """The pointer file in a shop's state folder."""
    return serving_folder(layout, folder) / FILE


def shop_target(layout: Layout, folder: Path | None = None) -> DeploymentTarget | None:
    """The target of params.yaml; None for one on this machine, and for a shop whose state folder is given."""
    return None if folder else find_target(layout, read_settings(layout.params).deploy)


def fetch_pointer(layout: Layout, folder: Path | None = None) -> DeploymentTarget | None:
    """Make the shop's pointer file a copy of its target's pointer; returns the target.

    Raises ArtifactError when the target does not answer.
    """
    target = shop_target(layout, folder)
    pointers.copy_pointer(pointer_path(layout, folder), target)
    return target


def read_pointer(layout: Layout, folder: Path | None = None) -> Pointer | None:
    """The shop's pointer; without a file, one to the packaged Bento, which then serves all users; else None."""
    path = pointer_path(layout, folder)
    if path.exists():
        return Pointer.read(path)
    if not layout.bento.exists():
        return None
    packaged = SmokeReport.read(layout.bento)
    built = datetime.fromtimestamp(layout.bento.stat().st_mtime, UTC)
    return Pointer(champion=Deployed(bento=packaged.tag, model=packaged.model), changed=built)


def describe_serving(pointer: Pointer) -> str:
    """One line on the Bentos that serve users, and their shares."""
    if pointer.challenger is None:
        return f"{pointer.champion.bento} serves all users"
    return f"{pointer.challenger.bento} serves {pointer.share:.1%} of users, {pointer.champion.bento} the others"


def deploy_release(
    layout: Layout,
    tag: str | None = None,
    *,
    share: float | None = None,
    folder: Path | None = None,
    seen: int | None = None,
) -> Pointer:
    """Make a Bento that passes its smoke test the challenger, or the champion if there is none.

    tag: None = the packaged Bento; share: of the users, None = rollout.share
    seen: the pointer's revision on which this was decided, None = the present one
    Raises ArtifactError when there is no such Bento, GateError when it fails its smoke test, SettingsError when it is
    the champion already, PointerConflictError when the pointer has changed meanwhile.
    """
    path = pointer_path(layout, folder)
    target = fetch_pointer(layout, folder)
    seen = _present_revision(path) if seen is None else seen
    from services.deployment.smoke import admit  # imports BentoML

    settings = read_settings(layout.params)
    report = admit(layout, settings, tag)
    write_release(layout, report.tag, reason="deployed by a user", gate=None)
    return pointers.deploy(path, report, settings.rollout.share if share is None else share, seen=seen, target=target)


def promote_release(layout: Layout, *, reason: str, folder: Path | None = None, seen: int | None = None) -> Pointer:
    """Make the challenger the champion. seen: as for deploy_release.

    Raises SettingsError when there is no challenger, PointerConflictError when the pointer has changed meanwhile.
    """
    path, target = pointer_path(layout, folder), fetch_pointer(layout, folder)
    pointer = pointers.promote(path, seen=_present_revision(path) if seen is None else seen, target=target)
    note_release(layout, pointer.champion.bento, state="promoted", reason=reason)
    return pointer


def roll_back_release(layout: Layout, *, reason: str, folder: Path | None = None, seen: int | None = None) -> Pointer:
    """Remove the challenger or, without one, restore the previous champion.

    seen: as for deploy_release. Raises SettingsError when there is no previous champion, ArtifactError when the store
    no longer has it, PointerConflictError when the pointer has changed meanwhile.
    """
    path, target = pointer_path(layout, folder), fetch_pointer(layout, folder)
    seen = _present_revision(path) if seen is None else seen
    stored = {bento.tag for bento in list_bentos(layout)}
    pointer = pointers.rollback(path, stored, seen=seen, target=target)
    before = pointer.history[-2]
    removed = before.challenger or before.champion
    note_release(layout, removed.bento, state="rolled back", reason=reason)
    return pointer


def _present_revision(path: Path) -> int:
    return pointers.revision_at(path, datetime.now(UTC))
