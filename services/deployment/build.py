"""Builds a Bento in a process of its own: python -m services.deployment.build RECIPE.json.

The process runs in a folder with nothing but the Bento's files, so that a missing file fails the build and not
production; and BentoML takes its store from BENTOML_HOME once per process.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bentoml
import psutil
from bentoml.exceptions import NotFound

from services.deployment.contents import BentoContents, provenance
from services.releases.manifest import BUNDLE, FILE, ReleaseManifest, SmokeReport, fingerprint
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Pointer
from tierrec_core.base.errors import ArtifactError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, Settings

_MODULE, _SERVICE = "services.deployment.build", "services.service:RecommenderService"
_NUM_KEPT = 5
_LAST_LINES = 5


class BuildRecipe(Params):
    """What to build. bundle: the model's folder; include: the Bento's files

    keep: number of Bentos of this name to keep in the store; protected: tags that are never deleted
    """

    release: ReleaseManifest
    bundle: Path
    requirements: tuple[str, ...]
    labels: dict[str, str]
    include: tuple[str, ...]
    keep: int
    protected: frozenset[str]


def bento_environment(home: Path) -> dict[str, str]:
    """Environment of a BentoML process: the given store, and no telemetry."""
    return os.environ | {"BENTOML_HOME": str(home.resolve()), "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}


def build_bento(layout: Layout, contents: BentoContents, keep: int = _NUM_KEPT) -> str:
    """Store model and Bento unless they are stored, delete all but the newest `keep`, and return the Bento's tag.

    Raises StageError with BentoML's last lines when the build fails.
    """
    layout.bento_home.mkdir(parents=True, exist_ok=True)
    layout.bento_home.chmod(0o700)  # BentoML lets everybody write the files below it
    pointer = layout.serving / POINTER
    recipe = BuildRecipe(
        release=contents.release,
        bundle=layout.bundle.resolve(),
        requirements=contents.requirements,
        labels=dict(contents.labels) | provenance(layout),
        include=(*contents.code, FILE),
        keep=keep,
        protected=Pointer.read(pointer).in_use if pointer.exists() else frozenset(),
    )
    with tempfile.TemporaryDirectory(prefix="tierrec-bento-") as folder:
        staging, recipe_file = Path(folder) / "src", Path(folder) / "recipe.json"
        for path in contents.code:
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(contents.root / path, staging / path)
        contents.release.write(staging)
        recipe_file.write_text(recipe.model_dump_json())
        build = subprocess.run(
            [sys.executable, "-m", _MODULE, str(recipe_file)],
            cwd=staging,
            env=bento_environment(layout.bento_home),
            capture_output=True,
            text=True,
        )
    if build.returncode:
        last_lines = "\n".join(build.stderr.strip().splitlines()[-_LAST_LINES:])
        raise StageError(f"package: the Bento could not be built; last lines:\n{last_lines}")
    return contents.release.bento


def ensure_bento(layout: Layout, settings: Settings) -> str:
    """The packaged Bento's tag; if it is not in the store, as after a clone, it is built from the bundle.

    Raises ArtifactError when nothing is packaged, or when the inputs now make another Bento.
    """
    tag, contents = SmokeReport.read(layout.bento).tag, BentoContents.gather(layout, settings)
    if contents.release.bento != tag:
        raise ArtifactError(
            f"{layout.bento}: names {tag}, but code, params and bundle now make {contents.release.bento}; "
            "run `tierrec run` to package them"
        )
    return build_bento(layout, contents)


def main(recipe_file: Path) -> None:
    """Build the model and the Bento unless they are stored, and delete old Bentos."""
    recipe, home = BuildRecipe.model_validate_json(recipe_file.read_text()), Path(os.environ["BENTOML_HOME"])
    _delete_incomplete(home)
    _add_model(recipe, home)
    try:
        bentoml.get(recipe.release.bento)
    except NotFound:
        with _incomplete(home, "bentos", recipe.release.bento):
            _add_bento(recipe)
    _prune(recipe)


@contextlib.contextmanager
def _incomplete(home: Path, store: str, tag: str) -> Iterator[None]:
    """Mark a tag as incomplete inside the block: BentoML writes its folder in place, so a kill leaves a part."""
    name, _, version = tag.partition(":")
    marks = home / "half_made" / str(os.getpid())
    mark = marks / store / name / version
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    yield
    shutil.rmtree(marks)


def _delete_incomplete(home: Path) -> None:
    """Delete the parts that killed builds left: BentoML would use them, or fail to read the store."""
    for marks in (home / "half_made").glob("*"):
        if not psutil.pid_exists(int(marks.name)):
            for mark in marks.glob("*/*/*"):
                shutil.rmtree(home / mark.relative_to(marks), ignore_errors=True)
            shutil.rmtree(marks)


def _add_model(recipe: BuildRecipe, home: Path) -> None:
    """Store the model; a stored one is replaced only if its files are damaged."""
    tag = recipe.release.model
    with contextlib.suppress(NotFound):
        if fingerprint(Path(bentoml.models.get(tag).path_of(BUNDLE))) == recipe.release.model_version:
            return
        bentoml.models.delete(tag)
    with _incomplete(home, "models", tag), bentoml.models.create(tag, labels=recipe.release.labels) as model:
        shutil.copytree(recipe.bundle, model.path_of(BUNDLE))


def _add_bento(recipe: BuildRecipe) -> None:
    name, _, version = recipe.release.bento.partition(":")
    bentoml.build(
        _SERVICE,
        name=name,
        version=version,
        labels=recipe.labels,
        include=list(recipe.include),
        models=[recipe.release.model],
        python={"packages": list(recipe.requirements), "lock_packages": False},
        build_ctx=".",
    )


def _prune(recipe: BuildRecipe) -> None:
    """Keep the protected Bentos, the requested one and the newest others, and the models that they use."""
    name, model_name = (tag.partition(":")[0] for tag in (recipe.release.bento, recipe.release.model))
    protected = {recipe.release.bento, *recipe.protected}
    bentos = sorted(
        bentoml.list(name), key=lambda bento: (str(bento.tag) in protected, bento.info.creation_time), reverse=True
    )
    num_kept = max(recipe.keep, sum(str(bento.tag) in protected for bento in bentos))
    for bento in bentos[num_kept:]:
        bentoml.delete(str(bento.tag))
    used = {str(info.tag) for bento in bentos[:num_kept] for info in bento.info.all_models}
    for model in bentoml.models.list(model_name):
        if str(model.tag) not in used:
            bentoml.models.delete(str(model.tag))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
