"""Stage campaigns: fit a model of coupon redemptions, and evaluate it on those after the cut; fit another to all."""

from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS, Event
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.evaluation.bootstrap import round_figures
from tierrec_core.evaluation.calibration import reliability
from tierrec_core.propensity.campaign_report import LISTS, MODEL, CampaignWindow, evaluate_lists, evaluate_targeting
from tierrec_core.propensity.campaigns import CampaignModel, redemption_history
from tierrec_core.settings import CampaignSettings, Settings
from tierrec_core.stages.inputs.split_log import evaluation_start, read_split
from tierrec_core.tiers import Tiering

Report = dict[str, Any]


def run(layout: Layout, settings: Settings) -> None:
    """Write both models, and report.json on the evaluated one; print the main metric.

    Without redemptions the models have no campaigns.
    """
    model, redemptions = _fit(layout, settings)
    _fit(layout.production, settings)
    report = evaluate_campaigns(model, read_split(layout).log, redemptions, settings)
    artifacts.write_json(report, layout.campaigns_report)
    print(f"campaigns: {model.num_campaigns} known; {_summary(report, settings.campaigns)}")


def _fit(layout: Layout, settings: Settings) -> tuple[CampaignModel, Interactions]:
    """Fit and save the model of the time before the test; also returns all redemptions."""
    split, options = read_split(layout), settings.campaigns
    log, cut = split.log, evaluation_start(split, settings.split, options.horizon_days)
    known = log.before(cut) if cut > log.day.min() else log
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    ids, types = read_campaigns(events, artifacts.read_frame(layout.raw_items, ITEMS), options)
    redemptions = redemption_history(events, log.users, ids, log.now)
    tiering = Tiering.fit(known, artifacts.read_frame(layout.items, ITEMS), settings.tiers, settings.seed)
    model = CampaignModel.fit(known, redemptions.before(known.now), types, tiering, options)
    artifacts.save(model, layout.campaigns)
    return model, redemptions


def read_campaigns(events: pd.DataFrame, items: pd.DataFrame, options: CampaignSettings) -> tuple[pd.Index, pd.Index]:
    """Ids and types of the campaigns that ITEMS describes or that were redeemed, [C] each.

    A log without redemptions has no campaigns.
    """
    redeemed_ids = events.loc[events["event"] == Event.REDEEM, "item_id"].astype(str).unique()
    described = items[items["category"].eq(options.category).fillna(value=False)].drop_duplicates("item_id")
    described = described.set_index(described["item_id"].astype(str)).reindex(columns=[options.type_attribute])
    ids = sorted({*described.index, *redeemed_ids}) if len(redeemed_ids) else []
    types = described[options.type_attribute].reindex(ids).astype("string").fillna("unknown")
    return pd.Index(ids, dtype=object), pd.Index(types.to_numpy(), dtype=object)


def evaluate_campaigns(
    model: CampaignModel, log: Interactions, redemptions: Interactions, settings: Settings
) -> Report:
    """Report on the model, its lists and its targeting in the windows after its training data."""
    options = settings.campaigns
    weights = zip(model.classifier.columns, model.classifier.weights.tolist(), strict=True)
    report: Report = {
        "campaigns": model.num_campaigns,
        "redemptions": {"known": len(model.past), "later": len(redemptions) - len(model.past)},
        "horizon_days": model.horizon_days,
        "learned_until": f"{from_days(model.past.now):%Y-%m-%dT%H:%M}",
        "weights": round_figures(dict(weights)),
    }
    starts = np.arange(model.past.now, log.now - options.horizon_days + 1e-9, options.horizon_days)
    windows = [CampaignWindow.of(model, log, redemptions, float(start)) for start in starts]
    with_choice = [window for window in windows if len(window.live) > 1]
    if not with_choice:
        reason = "no two campaigns are live after the cut" if model.num_campaigns else "the log has no redeem event"
        return report | {"judged": False, "reason": reason}
    rng, draws = np.random.default_rng(settings.seed), options.bootstraps
    answer = np.concatenate([window.answer.ravel() for window in windows])
    predicted = np.concatenate([window.scores[MODEL].ravel() for window in windows])
    return report | {
        "judged": True,
        "lists": evaluate_lists(with_choice, options.cutoff, draws, rng),
        "targeting": evaluate_targeting(windows, log.num_users, draws, rng),
        "reliability": reliability(answer, predicted),
        "windows": [window.describe(model.campaigns) for window in windows],
    }


def _summary(report: Report, options: CampaignSettings) -> str:
    if not report["judged"]:
        return f"not evaluated: {report['reason']}"
    main = f"ndcg@{options.cutoff}"
    return f"{main}: " + ", ".join(f"{name} {report['lists'][name][main]}" for name in LISTS)
