"""Steadiness of tiers: each figure against a hand-worked case or a peer library."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway

from tests.support.projects import tiered_project
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, SplitSettings, TaskSettings, TierSettings, TimeSplit
from tierrec_core.tiers import Tiering, stability
from tierrec_core.tiers.activity import ActivityTiers


def test_shares_of_change_and_flip_by_hand() -> None:
    tiers = np.array([[0, 0, 1, 2], [0, 1, 1, 1], [0, 0, 2, 0]])  # of 8 steps 4 change; of 4 pairs of steps 1 flips
    assert stability.change_share(tiers) == 4 / 8 + 1 / 8
    assert stability.flip_share(tiers) == 1 / 4


def test_one_moment_has_no_change() -> None:
    assert stability.change_share(np.zeros((1, 5))) == stability.flip_share(np.zeros((2, 5))) == 0.0


def test_transition_table_by_hand() -> None:
    table = stability.transition_table(np.array([0, 0, 0, 0, 2], np.int8), np.array([0, 0, 0, 1, 2], np.int8), 3)
    np.testing.assert_allclose(table, [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]])


def test_eta_squared_agrees_with_scipys_anova() -> None:
    rng = np.random.default_rng(0)
    tiers = rng.integers(3, size=200)
    outcome = tiers + rng.normal(size=200)
    ratio = f_oneway(*(outcome[tiers == tier] for tier in range(3))).statistic
    assert stability.explained_variance(tiers, outcome) == pytest.approx(2 * ratio / (2 * ratio + 197))


def test_eta_squared_of_a_constant_is_zero() -> None:
    assert stability.explained_variance(np.array([0, 1, 2]), np.ones(3)) == 0.0


def test_spend_lies_in_the_half_open_span(interactions) -> None:
    middle = interactions.now - 30
    parts = stability.spend_per_user(interactions, 0, middle) + stability.spend_per_user(
        interactions, middle, interactions.now
    )
    np.testing.assert_allclose(parts, np.bincount(interactions.user, interactions.value))


def test_agreement_is_high_where_tiers_lie_apart_and_reproducible(interactions) -> None:
    settings = TierSettings(bootstraps=8)
    rule = ActivityTiers.fit(interactions, settings, np.random.default_rng(0))
    one, two = (stability.bootstrap_agreement(rule, interactions, settings, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert len(one) == 8
    assert 0.5 < one.mean() <= 1.0


def test_hysteresis_calms_the_months(interactions) -> None:
    rule = ActivityTiers.fit(interactions, TierSettings(hysteresis=0.5), np.random.default_rng(0))
    moments = np.arange(interactions.now - 60, interactions.now, 7.0).tolist()
    free, held = (stability.tiers_over_time(rule, interactions, moments, hysteresis=state) for state in (False, True))
    assert stability.change_share(held) < stability.change_share(free)
    np.testing.assert_array_equal(free[-1], rule.assign(interactions.before(moments[-1])))


@pytest.mark.parametrize(
    ("log", "unit"),
    [({}, "spend"), ({"value": pd.NA}, "purchases"), ({"value": 4.0, "event": "rating"}, None)],
    ids=["prices", "no prices", "ratings"],
)
def test_tiers_share_what_the_log_has(events, items, tmp_path, capsys, log, unit) -> None:
    changed = EVENTS.conform(events.assign(**log), "tests")
    split = SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2, target=("purchase", "rating"))
    tiers = TierSettings(window_days=30, num_layers=4, bootstraps=3)
    layout = tiered_project(
        tmp_path, changed, items, Settings(split=split, tasks={"next": TaskSettings(windows=2)}, tiers=tiers, models={})
    )
    report = artifacts.read_json(layout.tiers_report)["tiers"]
    wanted = {"users", "share_of_users"} | ({f"share_of_{unit}"} if unit else set())
    assert all(tier.keys() == wanted for tier in report.values())
    assert capsys.readouterr().out.count(f"% of {unit}\n") == (len(report) if unit else 0)
    if unit == "purchases":
        split_log = artifacts.load(SplitLog, layout.split)
        history = split_log.history(split_log.final.name)
        tiering = artifacts.load(Tiering, layout.tiering(split_log.final.name))
        recent = tiering.tier[history.user[history.day >= history.now - 30]]
        shares = np.bincount(recent, minlength=3) / len(recent)
        assert [report[name][f"share_of_{unit}"] for name in tiering.names] == pytest.approx(shares)


def test_a_stage_report_is_the_same_at_each_run(events, items, tmp_path, capsys) -> None:
    """split and tier as DVC runs them, twice, in a project folder of their own."""
    by_time = SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2)
    tiers = TierSettings(window_days=30, num_layers=4, bootstraps=3)
    params = Settings(split=by_time, tasks={"next": TaskSettings(windows=2)}, tiers=tiers, models={})
    reports = []
    for name in "ab":
        layout = tiered_project(tmp_path / name, events, items.iloc[::-1].drop(index=3), params)
        reports.append(layout.tiers_report.read_bytes())
    assert reports[0] == reports[1]
    catalogue = pd.read_parquet(layout.items).set_index("item_id")
    log = artifacts.load(SplitLog, layout.split)
    assert list(catalogue.index) == list(log.log.items)
    assert (catalogue.loc["i03", "category"], catalogue.loc["i03", "title"]) == ("unknown", "i03")
    assert catalogue.loc["i04", "category"] == "group 0"
    for snapshot in log.snapshots:
        tiering = artifacts.load(Tiering, layout.tiering(snapshot.name))
        history = log.history(snapshot.name)
        np.testing.assert_array_equal(tiering.assign(history), tiering.tier)
        np.testing.assert_allclose(tiering.interests_of(history), tiering.interests)
    assert "next-test" in capsys.readouterr().out
    assert json.loads(reports[0])["layers_from"] == "category"
