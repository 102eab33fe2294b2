"""Who answers now: the champion's Bento, its model, and the folder in which its bundle lies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.deployment.admission import bundle_of
from services.releases.pointer import FILE, Pointer
from services.releases.smoke_report import SmokeReport
from services.shared_files import FOLDER_VARIABLE
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout


@dataclass(frozen=True)
class Champion:
    """Tags of Bento and model, and the model's bundle."""

    bento: str
    model: str
    bundle: Path

    @classmethod
    def find(cls, layout: Layout) -> Self | None:
        """The pointer's champion, or else the packaged Bento; None when nothing was ever packaged.

        Raises ArtifactError when the store has lost its model.
        """
        path = pointer_path(layout)
        if path.exists():
            now = Pointer.read(path).champion
            return cls(now.bento, now.model, bundle_of(layout, now.model))
        if not layout.bento.exists():
            return None
        packaged = SmokeReport.read(layout.bento)
        return cls(packaged.tag, packaged.model, layout.bundle)

    @classmethod
    def require(cls, layout: Layout) -> Self:
        """As `find`. Raises ArtifactError when nothing was ever packaged."""
        found = cls.find(layout)
        if found is None:
            raise ArtifactError(f"{layout.bento}: is missing, wanted a champion to watch; run `tierrec run`")
        return found


def state_folder(layout: Layout) -> Path:
    """Where the shop that the loop looks after keeps its state: what TIERREC_STATE names, else data/serving."""
    return Path(os.environ.get(FOLDER_VARIABLE) or layout.serving)


def pointer_path(layout: Layout) -> Path:
    """The pointer to champion and challenger."""
    return state_folder(layout) / FILE
