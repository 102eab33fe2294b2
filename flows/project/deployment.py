"""Deploys, promotes and rolls back releases: changes a shop's pointer and records it in the release log."""

from pathlib import Path

from flows.project.champion import pointer_path
from flows.project.release_log import note_release, write_release
from services.deployment.admission import admit, stored
from services.releases import pointer as pointers
from services.releases.pointer import Pointer
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings


def deploy_release(
    layout: Layout, tag: str | None = None, *, share: float | None = None, folder: Path | None = None
) -> Pointer:
    """Make a Bento that passes its smoke test the challenger, or the champion if there is none.

    tag: None = the packaged Bento; share: of the users, None = rollout.share
    Raises ArtifactError when there is no such Bento, GateError when it fails its smoke test, SettingsError when it is
    the champion already.
    """
    settings = read_settings(layout.params)
    report = admit(layout, settings, tag)
    write_release(layout, report.tag, reason="deployed by a user", gate=None)
    return pointers.deploy(pointer_path(layout, folder), report, settings.rollout.share if share is None else share)


def promote_release(layout: Layout, *, reason: str, folder: Path | None = None) -> Pointer:
    """Make the challenger the champion. Raises SettingsError when there is no challenger."""
    pointer = pointers.promote(pointer_path(layout, folder))
    note_release(layout, pointer.champion.bento, state="promoted", reason=reason)
    return pointer


def roll_back_release(layout: Layout, *, reason: str, folder: Path | None = None) -> Pointer:
    """Remove the challenger or, without one, restore the previous champion.

    Raises SettingsError when there is no previous champion, ArtifactError when the store no longer has it.
    """
    pointer = pointers.rollback(pointer_path(layout, folder), {bento.tag for bento in stored(layout)})
    before = pointer.history[-2]
    removed = before.challenger or before.champion
    note_release(layout, removed.bento, state="rolled back", reason=reason)
    return pointer
