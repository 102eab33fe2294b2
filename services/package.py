"""package: the bundle, a Bento of it, and a smoke test of that Bento."""

from services import bentos, smoke
from services.contents import Contents
from tierrec_core import artifacts
from tierrec_core.errors import ArtifactError
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings
from tierrec_core.stages.assembly import assemble


def run(layout: Layout, settings: Settings) -> None:
    """Write the bundle and bento.json, which is there only if the served lists are the judged ones."""
    assemble(layout, settings).save(layout.bundle)
    contents = Contents.gather(layout, settings)
    tag = bentos.make(layout, contents)
    print(f"package: built {tag}")
    report = smoke.check(layout, settings, tag)
    artifacts.write_json(
        {
            "tag": tag,
            "model": contents.release.model,
            "labels": dict(contents.labels),
            "smoke": report,
        },
        layout.bento,
    )
    for task, count in report.items():
        print(f"package {task}: {count['identical']} of {count['users']} served lists are the judged ones")


def ensure(layout: Layout, settings: Settings) -> str:
    """The packaged Bento's tag; it is built from the bundle if the store has lost it, as after a clone.

    Raises ArtifactError when nothing is packaged, or when what is there would make another Bento.
    """
    if not layout.bento.exists():
        raise ArtifactError(f"{layout.bento}: is missing, wanted a packaged Bento; run `tierrec run`")
    tag = str(artifacts.read_json(layout.bento)["tag"])
    contents = Contents.gather(layout, settings)
    if contents.release.bento != tag:
        raise ArtifactError(
            f"{layout.bento}: names {tag}, but code, params and bundle now make {contents.release.bento}; "
            "run `tierrec run` to package them"
        )
    return bentos.make(layout, contents)
