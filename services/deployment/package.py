"""package: writes the bundle of the fits to the whole log, builds a Bento of it, and smoke-tests that Bento."""

import shutil

from services.deployment.build import build_bento
from services.deployment.contents import BentoContents
from services.deployment.smoke import smoke_test
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EXPOSURES, ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.bundle import EVALUATED
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnModel
from tierrec_core.ranking import Candidates
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble
from tierrec_core.stages.inputs.split_log import read_split


def run(layout: Layout, settings: Settings) -> None:
    """Write the bundle and bento.json, which exists only if the Bento serves the bundle's lists."""
    write_bundle(layout, settings)
    print("package: lists, factors and tables of all users are precomputed", flush=True)
    contents = BentoContents.gather(layout, settings)
    tag = build_bento(layout, contents)
    print(f"package: built {tag}")
    report = smoke_test(layout, settings, tag, contents.release.model, contents.labels)
    artifacts.write_json(report.model_dump(), layout.bento)
    for task, count in report.smoke.items():
        print(f"package {task}: {count.identical} of {count.users} served lists are those of the bundle")


def write_bundle(layout: Layout, settings: Settings) -> None:
    """Write all models, the precomputed tables of all known users, and the bundle that was evaluated."""
    bundle = assemble(layout.production, settings)
    bundle.save(layout.bundle)
    assemble(layout, settings).save(layout.bundle / EVALUATED)
    parts = precomputed.Precomputed.of(bundle, _package_inputs(layout), settings.serving)
    parts.save(layout.bundle / precomputed.FOLDER)
    if layout.reference.exists():  # the monitor compares newer windows with it
        shutil.copytree(layout.reference, layout.bundle / layout.reference.name)


def _package_inputs(layout: Layout) -> precomputed.PackageInputs:
    """The outputs of the stages churn and campaigns, and the frames of items and promotions."""
    churn_report, production = artifacts.read_json(layout.churn_report), layout.production
    log = read_split(production)
    return precomputed.PackageInputs(
        churn=artifacts.load(ChurnModel, production.churn),
        calibration_error=churn_report.get("test", {}).get("all", {}).get("model", {}).get("ece"),
        campaigns=artifacts.load(CampaignModel, production.campaigns),
        items=artifacts.read_frame(layout.raw_items, ITEMS),
        exposures=artifacts.read_frame(layout.raw_exposures, EXPOSURES),
        candidates={
            task: artifacts.load(Candidates, production.candidates(log.final_window(task).name)) for task in log.tasks
        },
    )
