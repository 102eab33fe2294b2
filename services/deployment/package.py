"""package: the bundle, a Bento of it, and a smoke test of that Bento."""

import shutil

from services.deployment import bento_store, smoke
from services.deployment.contents import BentoContents
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EXPOSURES, ITEMS
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnModel
from tierrec_core.ranking import Candidates
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble
from tierrec_core.stages.inputs.split_log import read_split


def run(layout: Layout, settings: Settings) -> None:
    """Write the bundle and bento.json, which is there only if the served lists are the judged ones."""
    write_bundle(layout, settings)
    print("package: lists, factors and tables of all users are precomputed", flush=True)
    contents = BentoContents.gather(layout, settings)
    tag = bento_store.make(layout, contents)
    print(f"package: built {tag}")
    report = smoke.check(layout, settings, tag)
    artifacts.write_json(
        {"tag": tag, "model": contents.release.model, "labels": dict(contents.labels), "smoke": report}, layout.bento
    )
    for task, count in report.items():
        print(f"package {task}: {count['identical']} of {count['users']} served lists are the judged ones")


def write_bundle(layout: Layout, settings: Settings) -> None:
    """All models, and beside them what is precomputed of every known user."""
    bundle = assemble(layout, settings)
    bundle.save(layout.bundle)
    parts = precomputed.Precomputed.of(bundle, _beside(layout), settings.serving)
    parts.save(layout.bundle / precomputed.FOLDER)
    if layout.reference.exists():  # what the monitor holds newer windows against travels with the model
        shutil.copytree(layout.reference, layout.bundle / layout.reference.name)


def _beside(layout: Layout) -> precomputed.PackageInputs:
    """What the stages churn and campaigns made, and the frames that describe items and promotions."""
    judged, log = artifacts.read_json(layout.churn_report), read_split(layout)
    return precomputed.PackageInputs(
        churn=artifacts.load(ChurnModel, layout.churn),
        calibration_error=judged.get("test", {}).get("all", {}).get("model", {}).get("ece"),
        campaigns=artifacts.load(CampaignModel, layout.campaigns),
        items=artifacts.read_frame(layout.raw_items, ITEMS),
        exposures=artifacts.read_frame(layout.raw_exposures, EXPOSURES),
        candidates={
            task: artifacts.load(Candidates, layout.candidates(log.windows_of(task, "test")[0].name))
            for task in log.tasks
        },
    )


def ensure(layout: Layout, settings: Settings) -> str:
    """The packaged Bento's tag; it is built from the bundle if the store has lost it, as after a clone.

    Raises ArtifactError when nothing is packaged, or when what is there would make another Bento.
    """
    if not layout.bento.exists():
        raise ArtifactError(f"{layout.bento}: is missing, wanted a packaged Bento; run `tierrec run`")
    tag = str(artifacts.read_json(layout.bento)["tag"])
    contents = BentoContents.gather(layout, settings)
    if contents.release.bento != tag:
        raise ArtifactError(
            f"{layout.bento}: names {tag}, but code, params and bundle now make {contents.release.bento}; "
            "run `tierrec run` to package them"
        )
    return bento_store.make(layout, contents)
