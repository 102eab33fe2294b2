"""python -m services.deployment.build RECIPE.json: put a model and a Bento into the store that BENTOML_HOME names.

It runs in a process of its own, in a folder that holds nothing but what the Bento shall hold: BentoML reads its
home once a process, and a file that was forgotten shows here and not in production.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import bentoml
import psutil
from bentoml.exceptions import NotFound

from services.releases.manifest import BUNDLE, ReleaseManifest, fingerprint
from tierrec_core.settings import Params


class BuildRecipe(Params):
    """What to build. bundle: the folder to pack.

    keep: how many Bentos of this name stay in the store; spared: tags that stay however old they are
    """

    service: str
    release: ReleaseManifest
    bundle: Path
    requirements: tuple[str, ...]
    labels: dict[str, str]
    include: tuple[str, ...]
    keep: int
    spared: frozenset[str] = frozenset()


def main(path: Path) -> None:
    """Build what is not there yet, and drop what is too old."""
    recipe, home = BuildRecipe.model_validate_json(path.read_text()), Path(os.environ["BENTOML_HOME"])
    _drop_half_made(home)
    _add_model(recipe, home)
    if not _has_bento(recipe.release.bento):
        with _half_made(home, "bentos", recipe.release.bento):
            _add_bento(recipe)
    _prune(recipe)


@contextlib.contextmanager
def _half_made(home: Path, store: str, tag: str) -> Iterator[None]:
    """While inside, a note says that it is not whole: BentoML fills the folder in place, and a kill leaves half."""
    name, _, version = tag.partition(":")
    note = home / "half_made" / str(os.getpid()) / store / name / version
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    yield
    shutil.rmtree(home / "half_made" / str(os.getpid()))


def _drop_half_made(home: Path) -> None:
    """Remove what builds that were killed have left; BentoML would take it for whole, or refuse the store for it."""
    for notes in (home / "half_made").glob("*"):
        if psutil.pid_exists(int(notes.name)):
            continue
        for note in notes.glob("*/*/*"):
            shutil.rmtree(home / note.relative_to(notes), ignore_errors=True)
        shutil.rmtree(notes)


def _add_model(recipe: BuildRecipe, home: Path) -> None:
    """A tag that is there already is kept, unless its files are damaged."""
    tag = recipe.release.model
    try:
        model = bentoml.models.get(tag)
        if fingerprint(Path(model.path_of(BUNDLE))) == recipe.release.model_version:
            return
        bentoml.models.delete(tag)
    except NotFound:
        pass
    labels = recipe.release.labels
    with _half_made(home, "models", tag), bentoml.models.create(tag, labels=labels) as model:
        shutil.copytree(recipe.bundle, model.path_of(BUNDLE))


def _has_bento(tag: str) -> bool:
    try:
        bentoml.get(tag)
    except NotFound:
        return False
    return True


def _add_bento(recipe: BuildRecipe) -> None:
    name, _, version = recipe.release.bento.partition(":")
    bentoml.build(
        recipe.service,
        name=name,
        version=version,
        labels=recipe.labels,
        include=list(recipe.include),
        models=[recipe.release.model],
        python={"packages": list(recipe.requirements), "lock_packages": False},
        build_ctx=".",
    )


def _prune(recipe: BuildRecipe) -> None:
    """Keep the newest Bentos, the one just asked for and those in use among them, and the models that they use."""
    name, model = (tag.partition(":")[0] for tag in (recipe.release.bento, recipe.release.model))
    bentos = sorted(bentoml.list(name), key=lambda bento: bento.info.creation_time, reverse=True)
    wanted = {recipe.release.bento, *recipe.spared}
    others = [bento for bento in bentos if str(bento.tag) not in wanted]
    room = max(recipe.keep - (len(bentos) - len(others)), 0)
    for bento in others[room:]:
        bentoml.delete(str(bento.tag))
    kept = [bento for bento in bentos if str(bento.tag) in wanted] + others[:room]
    used = {str(info.tag) for bento in kept for info in bento.info.all_models}
    for stored in bentoml.models.list(model):
        if str(stored.tag) not in used:
            bentoml.models.delete(str(stored.tag))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
