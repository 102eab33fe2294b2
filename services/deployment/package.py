"""package: writes the bundle of the fits to the whole log, builds a Bento of it, and smoke-tests that Bento."""

import shutil

import numpy as np
import pandas as pd

from services.deployment.build import build_bento
from services.deployment.contents import BentoContents
from services.deployment.smoke import sample_lists, smoke_test
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EXPOSURES, ITEMS
from tierrec_core.base.errors import GateError
from tierrec_core.base.memmap import map_arrays
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.bundle import EVALUATED
from tierrec_core.bundle.precomputed import FOLDER
from tierrec_core.bundle.user_tables import RankedLists
from tierrec_core.evaluation.leaderboard import BLEND
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnModel
from tierrec_core.ranking import Candidates
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble
from tierrec_core.stages.inputs.split_log import read_split

_FIRST, _COMPARED_USERS = 10, 1000


def run(layout: Layout, settings: Settings) -> None:
    """Write the bundle and bento.json, which exists only if the Bento serves the bundle's lists."""
    write_bundle(layout, settings)
    print("package: lists, factors and tables of all users are precomputed", flush=True)
    for task in settings.tasks:
        share = compare_with_evaluated(layout, task)
        print(f"package {task}: {share:.0%} of the first {_FIRST} items are those of the evaluated models", flush=True)
    contents = BentoContents.gather(layout, settings)
    tag = build_bento(layout, contents)
    print(f"package: built {tag}")
    report = smoke_test(layout, settings, tag, contents.release.model, contents.labels)
    artifacts.write_json(report.model_dump(), layout.bento)
    for task, count in report.smoke.items():
        print(f"package {task}: {count.identical} of {count.users} served lists are those of the bundle")


def compare_with_evaluated(layout: Layout, task: str) -> float:
    """Share of the evaluated lists' first items that are in the same users' packaged lists, too.

    Nothing can be measured for models that have seen the whole log; a share of nearly 0 says that something is wrong,
    or that users and items are new. Raises GateError when a packaged list has a score that is no finite number.
    """
    scores = map_arrays(RankedLists, layout.bundle / FOLDER / "ranked_lists" / task)
    if not np.isfinite(scores.scores[scores.items >= 0]).all():
        raise GateError(f"package: {task}: lists have scores that are no finite numbers; look at the stages' training")
    evaluated = pd.read_parquet(layout.lists(task, BLEND)).query(f"rank <= {_FIRST}")
    served = sample_lists(layout.bundle, task, _COMPARED_USERS)
    evaluated = evaluated[evaluated["user_id"].isin(served)]
    pairs = zip(evaluated["user_id"], evaluated["item_id"], strict=True)
    kept = [item in served[user][:_FIRST] for user, item in pairs]
    return float(np.mean(kept)) if kept else 0.0


def write_bundle(layout: Layout, settings: Settings) -> None:
    """Write all models, the precomputed tables of all known users, and the bundle that was evaluated."""
    bundle = assemble(layout.production, settings)
    bundle.save(layout.bundle)
    assemble(layout, settings).save(layout.bundle / EVALUATED)
    parts = precomputed.Precomputed.of(bundle, _package_inputs(layout), settings.serving)
    parts.save(layout.bundle / FOLDER)
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
