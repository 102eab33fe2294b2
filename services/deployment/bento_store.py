"""From contents to a Bento in the project's own store."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services import service
from services.deployment import build
from services.deployment.build import BuildRecipe
from services.deployment.contents import BentoContents, provenance
from services.releases.manifest import FILE
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Pointer
from tierrec_core.base.errors import StageError
from tierrec_core.base.paths import Layout

KEEP = 5
_LAST_LINES = 5


def environment(home: Path) -> dict[str, str]:
    """What a BentoML process gets: the project's store, and no telemetry."""
    return os.environ | {"BENTOML_HOME": str(home.resolve()), "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}


def make(layout: Layout, contents: BentoContents, keep: int = KEEP) -> str:
    """Put model and Bento into the store unless they are there, leave the newest `keep`, and return the Bento's tag.

    Raises StageError with BentoML's own last lines when it cannot.
    """
    layout.bento_home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tierrec-bento-") as folder:
        staging, recipe = Path(folder) / "src", Path(folder) / "recipe.json"
        for path in contents.code:
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(contents.root / path, staging / path)
        contents.release.write(staging)
        recipe.write_text(_recipe(layout, contents, keep).model_dump_json())
        done = subprocess.run(
            [sys.executable, "-m", build.__name__, str(recipe)],
            cwd=staging,
            env=environment(layout.bento_home),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise StageError(f"package: the Bento could not be built; last lines:\n{said}")
    return contents.release.bento


def _recipe(layout: Layout, contents: BentoContents, keep: int) -> BuildRecipe:
    return BuildRecipe(
        service=f"{service.__name__}:RecommenderService",
        release=contents.release,
        bundle=layout.bundle.resolve(),
        requirements=contents.requirements,
        labels=dict(contents.labels) | provenance(layout),
        include=(*contents.code, FILE),
        keep=keep,
        spared=_in_use(layout.serving / POINTER),
    )


def _in_use(pointer: Path) -> frozenset[str]:
    """Tags that a pointer names, if there is one."""
    return Pointer.read(pointer).in_use if pointer.exists() else frozenset()
