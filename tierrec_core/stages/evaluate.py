"""Stage evaluate: rank with every model as of the test snapshot, and evaluate on the events that follow."""

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, USERS, FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.evaluation import beyond_accuracy
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, round_figure, round_figures
from tierrec_core.evaluation.leaderboard import BLEND, Block, evaluate_models, main_metric, tabulate
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.evaluation.small_groups import disclosed_groups
from tierrec_core.linalg.top_k import rank_candidates
from tierrec_core.protocols.model import Ranker, Retriever
from tierrec_core.ranking.candidates import Candidates, rank_catalogue_variants
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import Tiering

Lists = dict[str, IntArray]
_EXPOSURE_DRAWS = 200


def run(layout: Layout, settings: Settings) -> None:
    """Rank, evaluate and audit; write lists, truths, plots and metrics.json."""
    log = read_split(layout)
    bundle, k = assemble(layout, settings), settings.evaluate.list_length
    history = bundle.history
    windows = {task: log.final_window(task) for task in log.tasks}
    lists = _rank_models(layout, bundle, k, windows)
    for task, window in windows.items():
        lists[task][BLEND] = bundle.rank(task, history, _candidates(layout, window), k).items
    truths = {task: Truth.of(*log.truth(window), log.log.num_items) for task, window in windows.items()}
    tiering = artifacts.load(Tiering, layout.tiering(log.final.name))
    boards = {
        task: evaluate_models(
            lists[task],
            truths[task],
            (tiering.tier, tiering.names),
            settings.evaluate,
            np.random.default_rng(settings.seed),
            settings.evaluate.baseline.get(task),
        )
        for task in log.tasks
    }
    audits = {task: _audit(layout, settings, history, lists[task][BLEND], truths[task], tiering) for task in log.tasks}
    sizes = dict(zip(tiering.names, np.bincount(tiering.tier, minlength=len(tiering.names)).tolist(), strict=True))
    _write(layout, log, lists, truths)
    _plot(layout, boards)
    artifacts.write_json(boards | {"tiers": {"sizes": sizes}, "audit": audits}, layout.metrics)


def _rank_models(layout: Layout, bundle: Bundle, k: int, windows: Mapping[str, Window]) -> dict[str, Lists]:
    """Every model's lists [U, k] by task; a retriever scores each user once for all tasks."""
    history, lists = bundle.history, {task: Lists() for task in windows}
    exclude = [not window.repeats for window in windows.values()]
    for name, model in bundle.models.items():
        if isinstance(model, Retriever):
            views = rank_catalogue_variants(model, history, k, exclude_seen=exclude)
            for task, ranked in zip(windows, views, strict=True):
                lists[task][name] = ranked.items
        elif isinstance(model, Ranker):
            for task, window in windows.items():
                table = _candidates(layout, window).padded(history.num_users)
                lists[task][name] = rank_candidates(model.score_candidates(history, table), table, k).items
    return lists


def _candidates(layout: Layout, window: Window) -> Candidates:
    return artifacts.load(Candidates, layout.candidates(window.name))


def _audit(
    layout: Layout, settings: Settings, history: Interactions, items: IntArray, truth: Truth, tiering: Tiering
) -> dict[str, Any]:
    """Audit the blend's lists beyond accuracy, up to the first cutoff; no diversity in a catalogue of one category."""
    cutoff = settings.evaluate.cutoffs[0]
    top = items[:, :cutoff]
    category = pd.factorize(artifacts.read_frame(layout.items, ITEMS)["category"], use_na_sentinel=False)[0]
    ndcg = per_user(items, truth, cutoff)["ndcg"]
    return {
        "exposure_gini": round_figure(beyond_accuracy.exposure_gini(top, history.num_items)),
        "popularity": round_figures(beyond_accuracy.popularity_bias(top, history)),
        **({"diversity": round_figure(beyond_accuracy.diversity(top, category))} if category.any() else {}),
        "by_tier": _audit_tiers(settings, history, top, category, tiering),
        "by_demographic": _audit_groups(layout, settings, history.users[truth.users], ndcg, tiering.tier[truth.users]),
    }


def _audit_tiers(
    settings: Settings, history: Interactions, top: IntArray, category: IntArray, tiering: Tiering
) -> dict[str, Any]:
    """Audit the lists of each tier; figures come as `name` and `name_ci`."""
    draws, rng = settings.evaluate.bootstraps, np.random.default_rng(settings.seed)
    recommended, past = beyond_accuracy.popularity_of_users(top, history)
    values = {"popularity_bias": recommended - past, "diversity": beyond_accuracy.diversity_of_lists(top, category)}
    if not category.any():
        del values["diversity"]
    tiers = tiering.tier, tiering.names
    means = {name: beyond_accuracy.mean_by_group(of_user, tiers, draws, rng) for name, of_user in values.items()}
    exposure = beyond_accuracy.exposure_by_group(top, history.num_items, tiers, min(draws, _EXPOSURE_DRAWS), rng)
    size = np.bincount(tiering.tier, minlength=len(tiering.names))
    shown = dict(zip(tiering.names, disclosed_groups(size, settings.evaluate.min_group_users), strict=True))
    return {
        name: {"users": int(size[tiering.names.index(name)])}
        | _report(intervals | {figure: by_tier[name] for figure, by_tier in means.items() if name in by_tier})
        for name, intervals in exposure.items()
        if shown[name]
    }


def _audit_groups(
    layout: Layout, settings: Settings, user_ids: pd.Index, ndcg: FloatArray, tier: IntArray
) -> dict[str, Any]:
    """The main metric of each demographic group, and its difference to the mean of its users' tiers."""
    main, users = main_metric(settings.evaluate), artifacts.read_frame(layout.raw_users, USERS)
    values = {main: ndcg, f"{main}_beside_tier": beyond_accuracy.tier_adjusted(ndcg, tier)}
    groups = {
        name: beyond_accuracy.demographic_groups(
            figures, user_ids, users, settings.evaluate.bootstraps, np.random.default_rng(settings.seed)
        )
        for name, figures in values.items()
    }
    return {
        attribute: {
            group: {"users": count} | _report({name: groups[name][attribute][group][1] for name in values})
            for group, (count, _) in by_group.items()
        }
        for attribute, by_group in groups[main].items()
    }


def _report(intervals: Mapping[str, ConfidenceInterval]) -> dict[str, Any]:
    """Each figure with its interval, as in metrics.json."""
    return {key: value for name, interval in intervals.items() for key, value in interval.report(name).items()}


def _write(layout: Layout, log: SplitLog, lists: Mapping[str, Lists], truths: Mapping[str, Truth]) -> None:
    """Write lists and truths with the log's ids, and delete lists of models that are no longer configured."""
    users, items = log.log.users.to_numpy(), log.log.items.to_numpy()
    for task, truth in truths.items():
        pairs = pd.DataFrame({"user_id": users[truth.user], "item_id": items[truth.item]})
        artifacts.write_frame(pairs, layout.truth(task))
        shutil.rmtree(layout.lists(task, "").parent, ignore_errors=True)
        for model, ranked in lists[task].items():
            row, position = np.nonzero(ranked >= 0)
            frame = pd.DataFrame(
                {"user_id": users[row], "item_id": items[ranked[row, position]], "rank": (position + 1).astype("int32")}
            )
            artifacts.write_frame(frame, layout.lists(task, model))


def _plot(layout: Layout, boards: Mapping[str, Mapping[str, Block]]) -> None:
    for name, table in zip(("leaderboard", "by_tier"), tabulate(boards), strict=True):
        with artifacts.replacing_file(layout.plots / f"{name}.csv") as fresh:
            table.to_csv(fresh, index=False)
