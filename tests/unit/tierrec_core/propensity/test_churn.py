"""Churn risk: features by counting, a world whose chances are known, and a stage that looks at nothing too early."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from tests.support.projects import write_prepared
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.propensity.churn import RECENCY, ChurnDataset, ChurnFeatures, ChurnModel, validation_losses
from tierrec_core.settings import BoostingSettings, LeaveLastOut, Settings, SplitSettings, TaskSettings, TimeSplit
from tierrec_core.settings import ChurnSettings as ChurnSettings
from tierrec_core.stages import churn as stage
from tierrec_core.stages import split
from tierrec_core.stages.inputs.split_log import snapshot_days

SMALL = ChurnSettings(trees=BoostingSettings(num_trees=40, min_data_in_leaf=20), bootstraps=50)
NUM_USERS, DAYS, CUT = 500, 320, 280
RATES = np.geomspace(0.01, 0.4, NUM_USERS)


def visits(days=DAYS, seed=0):
    """User u buys at random, RATES[u] times a day: the chance of 28 days without is exp(-28 RATES[u])."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user:03d}", f"i{rng.integers(8)}", day)
        for user, rate in enumerate(RATES)
        for day in np.sort(rng.uniform(0, days, rng.poisson(rate * days)))
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    frame["session_id"] = frame["user_id"] + "-" + frame["day"].round(6).astype(str)
    return EVENTS.conform(frame.assign(event="purchase", value=2.0), "tests")


def catalogue():
    names = [f"i{item}" for item in range(8)]
    return pd.DataFrame({"item_id": names, "title": names, "category": names, "brand": None, "price": 1.0}).astype(
        {"brand": "string"}
    )


def settings(cut=0.9, **changes):
    day = pd.Timestamp("2024-01-01") + pd.Timedelta(days=CUT) if cut is None else cut
    return Settings(
        split=SplitSettings(by=TimeSplit(cut=day), min_users_per_item=2),
        tasks={"next": TaskSettings(windows=1)},
        models={},
        churn=SMALL.model_copy(update=changes),
    )


def run(folder, events, options):
    """split and churn as DVC runs them, in a project folder of their own."""
    layout = Layout(folder)
    write_prepared(layout, events)
    artifacts.write_frame(catalogue(), layout.raw_items)
    split.run(layout, options)
    stage.run(layout, options)
    return artifacts.load(ChurnModel, layout.churn), json.loads(layout.churn_report.read_text()), layout


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return run(tmp_path_factory.mktemp("shop"), visits(), settings(cut=None))


@pytest.fixture(scope="module")
def history(shop):
    log = artifacts.load(SplitLog, shop[2].split)
    return log.history(log.final.name)


@pytest.fixture(scope="module")
def features(training):
    return ChurnFeatures(("purchase",), training.tiering)


def counted(history, row, now):
    """Some features of one user, by going through what they did."""
    mine = history.user == row
    days = sorted({float(day) for day in history.day[mine]})
    gaps = [later - sooner for sooner, later in pairwise(days)]
    recent = [day for day in days if now - day <= 28]
    before = [day for day in days if 28 < now - day <= 91]
    return {
        RECENCY: np.log1p(now - days[-1]),
        "log_interval": np.log1p(np.mean(gaps) if gaps else 91.0),
        "log_interval_spread": np.log1p(np.std(gaps) if gaps else 0.0),
        "log_longest_interval": np.log1p(max(gaps, default=0.0)),
        "tenure": min(now - days[0], 91.0) / 91.0,
        "log_visits_28d": np.log1p(len(recent)),
        "log_decayed_14d": np.log1p(sum(0.5 ** ((now - day) / 14) for day in days)),
        "trend": np.log((len(recent) + 0.5) / (len(before) * 28 / 63 + 0.5)),
        "log_basket": np.log1p(mine.sum() / len(days)),
        "log_spend_per_visit": np.log1p(history.value[mine].sum() / len(days)),
        "coupon_share": history.coupon[mine].sum() / (mine.sum() + 10.0),
    }


def test_features_are_those_that_one_counts(interactions, features):
    table = features.of(interactions)
    assert {len(column) for column in table.values()} == {interactions.num_users}
    for row in range(0, 60, 7):
        for name, value in counted(interactions, row, interactions.now).items():
            assert table[name][row] == pytest.approx(value, abs=1e-6), name
    np.testing.assert_array_equal(table["tier_heavy"] == 1, features.tiering.assign(interactions) == 2)
    np.testing.assert_allclose(sum(table[f"interest_{layer}"] for layer in range(4)), 1.0)


def test_other_events_are_seen_but_do_not_count_as_coming_back(interactions, features):
    looks = replace(interactions, event=np.where(interactions.age < 20, 1, interactions.event))
    table = features.of(looks)
    assert table[RECENCY].min() >= np.log1p(20)
    np.testing.assert_allclose(table["log_days_since_any_event"], features.of(interactions)["log_days_since_any_event"])
    moment = interactions.now - 15
    assert ChurnDataset.of(looks, moment, 15.0, features).label.all()


def test_examples_are_those_who_were_known_and_who_then_stayed_away(interactions, features):
    moment = interactions.now - 60
    found = ChurnDataset.of(interactions, moment, 10.0, features)
    known = [u for u in range(60) if (interactions.day[interactions.user == u] < moment).any()]
    returned = {
        int(user) for user, day in zip(interactions.user, interactions.day, strict=True) if moment <= day < moment + 10
    }
    np.testing.assert_array_equal(found.user, known)
    np.testing.assert_array_equal(found.label, [user not in returned for user in known])
    visits = features.of(interactions.before(moment))["log_visits_91d"][known]
    np.testing.assert_allclose(found.select_columns("log_visits_91d")[:, 0], visits, rtol=1e-6)


def test_the_trial_is_scikit_learns_log_loss_of_rows_unseen(interactions, features):
    train, later = (ChurnDataset.of(interactions, interactions.now - back, 14.0, features) for back in (50, 20))
    losses = validation_losses(train, later, SMALL, seed=0)
    fitted = {kind: ChurnModel.fit(kind, features, train, later, SMALL, seed=0) for kind in losses}
    plain = {kind: replace(one.classifier, slope=1.0, shift=0.0) for kind, one in fitted.items()}
    for kind, loss in losses.items():
        assert loss == pytest.approx(log_loss(later.label, plain[kind].probability(later.values)))


def test_known_chances_are_found(shop, history):
    churn, _, _ = shop
    known = history.users.str[1:].astype(int)
    truth = np.exp(-28 * RATES[known])
    found = churn.probability(history)
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert np.abs(found - truth).mean() < 0.08
    assert found.mean() == pytest.approx(truth.mean(), abs=0.05)


def test_the_report_is_what_happened(shop, history):
    churn, report, layout = shop
    log = artifacts.load(SplitLog, layout.split).log
    came = np.bincount(log.user[(log.day >= history.now) & (log.day < history.now + 28)], minlength=log.num_users)
    said, found = churn.probability(history), report["test"]["all"]
    assert found["users"] == log.num_users
    assert found["stayed_away"] == pytest.approx((came == 0).mean(), abs=1e-6)
    assert found["model"]["auc"] == pytest.approx(roc_auc_score(came == 0, said), abs=1e-6)
    assert found["model"]["brier"] == pytest.approx(((said - (came == 0)) ** 2).mean(), abs=1e-6)
    assert found["model"]["delta_auc"]["against"] == "recency"
    assert found["model"]["auc"] > found["recency"]["auc"]
    tiers = [report["test"][tier]["users"] for tier in ("light", "medium", "heavy") if tier in report["test"]]
    assert sum(tiers) == log.num_users
    assert sum(row["rows"] for row in report["reliability"]) == log.num_users


def test_each_moments_answer_is_over_before_the_next_begins(shop):
    moments = shop[1]["moments"]
    days = [pd.Timestamp(moments[name]) for name in ("choose", "calibrate", "test")]
    assert pd.Timestamp("2024-01-01") + pd.Timedelta(days=CUT) == days[-1]
    assert [later - sooner for sooner, later in pairwise(days)] == [pd.Timedelta(days=28)] * 2
    assert all(pd.Timestamp(day) + pd.Timedelta(days=28) <= days[0] for day in moments["train"][:-1])


def test_what_comes_after_the_cut_changes_no_probability(shop, history, tmp_path):
    events = visits()
    late = events["timestamp"] >= pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(days=CUT)
    shuffled = events.copy()
    shuffled.loc[late, "user_id"] = shuffled.loc[late, "user_id"].to_numpy()[::-1]
    churn, report, _ = run(tmp_path, shuffled, settings(cut=None))
    np.testing.assert_array_equal(churn.probability(history), shop[0].probability(history))
    assert report["test"]["all"]["model"]["auc"] != shop[1]["test"]["all"]["model"]["auc"]


def test_any_history_has_a_chance_and_nobody_has_the_base_rate(shop, history):
    churn = shop[0]
    everybody = churn.probability(history)
    assert ((everybody > 0) & (everybody < 1)).all()
    nobody = Interactions.from_history([], history.items, history.now)
    assert churn.probability(nobody) == [churn.base_rate]
    visitor = churn.probability(Interactions.from_history(["i1", "i5"], history.items, history.now))
    assert 0 < visitor[0] < 1
    alone = [churn.probability(history.select_users(np.array([row])))[0] for row in (3, 250, 450)]
    np.testing.assert_allclose(alone, everybody[[3, 250, 450]], rtol=1e-6)
    order = np.random.default_rng(0).permutation(history.num_users)
    np.testing.assert_allclose(churn.probability(history.select_users(order)), everybody[order], rtol=1e-6)


def test_survives_disk_and_a_second_run_is_the_same(shop, history, tmp_path):
    churn, report, _ = shop
    again, told, _ = run(tmp_path, visits(), settings(cut=None))
    np.testing.assert_array_equal(again.probability(history), churn.probability(history))
    assert told == report
    artifacts.save(churn, tmp_path / "copy")
    copy = artifacts.load(ChurnModel, tmp_path / "copy")
    np.testing.assert_array_equal(copy.probability(history), churn.probability(history))


def test_a_short_log_gets_the_base_rate_and_is_told_so(tmp_path, capsys):
    churn, report, layout = run(tmp_path, visits(days=100), settings(cut=0.7))
    log = artifacts.load(SplitLog, layout.split).log
    assert report["judged"] is False
    assert "wanted 168" in report["reason"]
    start = pd.Timestamp(report["measured_at"][0], tz="UTC").timestamp() / 86_400
    known = np.unique(log.user[log.day < start])
    came = np.isin(known, log.user[(log.day >= start) & (log.day < start + 28)])
    assert churn.base_rate == pytest.approx(((~came).sum() + 1) / (len(known) + 2), abs=1e-6)
    np.testing.assert_allclose(churn.probability(log), churn.base_rate)
    assert report["reason"] in capsys.readouterr().out


def test_a_log_shorter_than_the_horizon_says_one_half(tmp_path):
    churn, report, _ = run(tmp_path, visits(days=40), settings(cut=0.7, horizon_days=45))
    assert (churn.base_rate, report["measured_at"], report["judged"]) == (0.5, [], False)


def test_a_world_where_everybody_returns_teaches_nothing(tmp_path):
    everyday = visits()
    last = everyday["timestamp"].dt.floor("7D").drop_duplicates()
    weekly = pd.DataFrame({"timestamp": last}).merge(pd.DataFrame({"user_id": ["a", "b", "c"]}), how="cross")
    frame = EVENTS.conform(weekly.assign(item_id=weekly.index.map(lambda row: f"i{row % 2}"), event="purchase"), "t")
    churn, report, _ = run(tmp_path, frame, settings(cut=None))
    assert "every user returned" in report["reason"]
    assert churn.base_rate == pytest.approx(1 / 5)


def test_a_split_that_is_no_cut_in_time_is_judged_on_its_newest_days(tmp_path):
    options = settings().model_copy(update={"split": SplitSettings(by=LeaveLastOut(), min_users_per_item=2)})
    _, report, layout = run(tmp_path, visits(), options)
    log = artifacts.load(SplitLog, layout.split).log
    test = pd.Timestamp(report["moments"]["test"], tz="UTC").timestamp() / 86_400
    assert test == pytest.approx(log.day.max() - 28, abs=1 / 1440)
    assert report["test"]["all"]["users"] == len(np.unique(log.user[log.day < log.day.max() - 28]))


@given(st.floats(0, 100), st.floats(-50, 200), st.floats(0.5, 30))
def test_moments_go_back_in_whole_steps(first, last, step):
    found = snapshot_days(first, last, step)
    assert (found[-1:] == [last]) == (last >= first - 1e-9)
    np.testing.assert_allclose(np.diff(found), step)
    assert all(first - 1e-6 <= moment <= last for moment in found)
    assert not found or found[0] - step < first
