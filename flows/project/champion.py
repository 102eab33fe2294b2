"""The Bentos that serve a shop: its pointer, and the champion's model and bundle."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from services.deployment.admission import bundle_of
from services.releases.pointer import FILE, Deployed, Pointer
from services.releases.smoke_report import SmokeReport
from services.shared_files import serving_folder
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout


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
