"""Campaigns: features by counting, a world with two tastes, campaigns that nobody knows yet, and the stage."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.conftest import make_events
from tests.support.projects import write_prepared
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.errors import ArtifactError, DataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.propensity import campaigns
from tierrec_core.propensity.campaign_report import CampaignWindow
from tierrec_core.settings import CampaignSettings, Settings, SplitSettings, TaskSettings, TierSettings, TimeSplit
from tierrec_core.stages import campaigns as stage
from tierrec_core.stages import split

SMALL = CampaignSettings(horizon_days=14, step_days=7, bootstraps=100)
IDS = pd.Index(["c0", "c1", "c2", "c3"], dtype=object)
TYPES = pd.Index(["big", "big", "small", "small"], dtype=object)
START = pd.Timestamp("2024-01-01", tz="UTC")


def redeem_events(seed=5):
    """Campaign k < 2 is redeemed by users of taste group k, all along; c2 by a few of anybody; c3 by nobody."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user:02d}", f"c{user % 4}", day) for user in range(60) if user % 4 < 2 for day in rng.uniform(5, 119, 4)
    ]
    rows += [(f"u{rng.integers(60):02d}", "c2", day) for day in rng.uniform(5, 119, 12)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["timestamp"] = START + pd.to_timedelta(frame["day"], unit="D")
    return EVENTS.conform(frame.assign(event="redeem", channel="coupon"), "tests")


@pytest.fixture(scope="module")
def redemptions(interactions):
    return campaigns.redemption_history(redeem_events(), interactions.users, IDS, interactions.now)


@pytest.fixture(scope="module")
def model(interactions, redemptions, training):
    return campaigns.CampaignModel.fit(interactions, redemptions, TYPES, training.tiering, SMALL)


def test_redemptions_are_those_of_known_users_and_campaigns(interactions, redemptions):
    events = pd.concat([make_events(), redeem_events()])
    found = campaigns.redemption_history(events, interactions.users[:30], IDS[1:], interactions.now)
    wanted = redeem_events().query("user_id < 'u30' and item_id > 'c0'")
    assert len(found) == len(wanted) > 0
    assert found.matrix().sum(axis=0).tolist()[0] == [(wanted["item_id"] == name).sum() for name in IDS[1:]]
    none = campaigns.redemption_history(make_events(), interactions.users, IDS, interactions.now)
    assert (len(none), none.matrix().shape) == (0, (60, 4))


def test_what_is_known_of_campaigns_is_what_one_counts(interactions, redemptions, model):
    events, stats = redeem_events(), model.stats
    interests = model.tiering.interests_of(interactions)
    for column, name in enumerate(IDS):
        users = sorted(events.loc[events["item_id"] == name, "user_id"].unique())
        rows = interactions.users.get_indexer(users)
        assert stats.redeemers[column] == len(users)
        np.testing.assert_allclose(stats.interest[column], interests[rows].sum(axis=0), rtol=1e-6)
    counts = stats.redeemers
    usual = (counts.sum() + 1) / (3 + 1)
    big, small = (counts[:2].sum() + usual) / (2 + 1), (counts[2] + usual) / (1 + 1)
    np.testing.assert_allclose(np.exp(stats.log_type_rate) * 60, [big, big, small, small])
    np.testing.assert_allclose(stats.profile.sum(axis=1), 1.0)
    last = redemptions.day[redemptions.item == 2].max()
    np.testing.assert_allclose(model.idle_days(interactions.now)[2:], [interactions.now - last, np.inf])


def test_features_are_those_that_one_counts(interactions, redemptions, model):
    columns = np.moveaxis(model.features(interactions, redemptions, np.arange(4)), 2, 0)
    table = dict(zip(campaigns.campaign_feature_names(model.tiering), columns, strict=True))
    tier = model.tiering.assign(interactions)
    for row in range(0, 60, 11):
        bought, used = interactions.select_users(np.array([row])), redemptions.select_users(np.array([row]))
        distinct = set(used.item.tolist())
        recent = {session for session, age in zip(bought.session, bought.age, strict=True) if age <= 28}
        wanted = {
            "tier_heavy": [tier[row] == 2] * 4,
            "log_visits_28d": [np.log1p(len(recent))] * 4,
            "log_coupon_share": [np.log((bought.coupon.sum() + 1) / (len(bought) + 60))] * 4,
            "log_coupons_91d": [np.log1p((bought.coupon & (bought.age <= 91)).sum())] * 4,
            "log_redeemed": [np.log1p(len(distinct))] * 4,
            "log_days_since_redemption": [np.log1p(used.age.min(initial=364.0))] * 4,
            "log_redeemers": np.log1p(model.stats.redeemers),
            "log_redeemed_of_type": [
                np.log1p(sum(TYPES[other] == TYPES[column] for other in distinct)) for column in range(4)
            ],
            "log_redeemed_before": [np.log1p((used.item == column).sum()) for column in range(4)],
        }
        for name, values in wanted.items():
            np.testing.assert_allclose(table[name][row], np.asarray(values, float), rtol=1e-6, err_msg=name)


def test_each_taste_gets_its_own_campaign_first(interactions, model):
    blank = campaigns.redemption_history(make_events(), interactions.users, IDS, interactions.now)
    scores = model.score(interactions, blank)
    group = np.arange(60) % 4
    first = scores[:, :2].argmax(axis=1)
    assert (first[group == 0] == 0).all()
    assert (first[group == 1] == 1).all()
    assert scores[group == 0, 0].mean() > 2 * scores[group == 2, 0].mean()


def test_chances_add_up_to_what_happens(interactions, redemptions, model):
    """A logistic regression with an intercept expects, over all it learned from, what it saw."""
    seen, expected = 0, 0.0
    moment = interactions.now - SMALL.horizon_days
    while moment > interactions.day.min() + SMALL.horizon_days:
        past, before = interactions.before(moment), redemptions.before(moment)
        answer = campaigns.redemption_labels(redemptions, moment, SMALL.horizon_days)
        known = np.flatnonzero(np.diff(past.offsets))
        pair = np.ix_(known, np.flatnonzero(answer.any(axis=0)))
        expected += model.at(past, before).score(past, before)[pair].sum()
        seen += answer[pair].sum()
        moment -= SMALL.step_days
    assert seen > 100
    assert expected == pytest.approx(seen, rel=1e-3)


def test_redemptions_of_one_user_are_their_row_and_what_came_since(interactions, redemptions, model):
    row, now = 4, interactions.now + 3
    alone = model.redemptions_of(interactions.users[row], [], interactions.now)
    history = interactions.select_users(np.array([row]))
    np.testing.assert_allclose(model.score(history, alone)[0], model.score(interactions, redemptions)[row], rtol=1e-6)
    fresh = [("c1", now - 1), ("gone", now - 1), ("c1", now + 1), ("c0", now - 2)]
    found = model.redemptions_of(interactions.users[row], fresh, now)
    assert len(found) == len(alone) + 2
    assert (np.diff(found.day) >= 0).all()
    assert found.item[-2:].tolist() == [0, 1]
    stranger = model.redemptions_of("never seen", fresh, now)
    assert stranger.item.tolist() == [0, 1]


def test_any_history_is_scored_and_rows_must_agree(interactions, redemptions, model):
    nobody = Interactions.from_history([], interactions.items, interactions.now)
    scores = model.score(nobody, model.redemptions_of("", [], interactions.now))
    assert scores.shape == (1, 4)
    assert ((scores > 0) & (scores < 1)).all()
    with pytest.raises(DataError, match="1 rows of redemptions for 60 histories"):
        model.score(interactions, model.redemptions_of("", [], interactions.now))


def test_survives_disk_and_a_file_with_another_field_asks_for_a_rerun(interactions, redemptions, model, tmp_path):
    artifacts.save(model, tmp_path / "model")
    again = artifacts.load(campaigns.CampaignModel, tmp_path / "model")
    np.testing.assert_array_equal(again.score(interactions, again.past), model.score(interactions, redemptions))
    meta = tmp_path / "model" / "meta.json"
    meta.write_text(meta.read_text().replace('"stats"', '"standing"'))
    with pytest.raises(ArtifactError, match=r"no readable CampaignModel .*standing.*run its stage again"):
        artifacts.load(campaigns.CampaignModel, tmp_path / "model")


def test_without_a_window_the_chance_is_that_of_the_type(interactions, redemptions, training):
    early = interactions.before(interactions.day.min() + 20)
    model = campaigns.CampaignModel.fit(early, redemptions.before(early.now), TYPES, training.tiering, SMALL)
    rate = np.exp(model.stats.log_type_rate)
    np.testing.assert_allclose(model.score(early, model.past), np.tile(rate / (1 + rate), (60, 1)))


def test_a_window_asks_only_for_live_campaigns_and_known_users(interactions, redemptions, model):
    moment = interactions.now - 14
    window = CampaignWindow.of(model, interactions, redemptions, moment)
    late = redemptions.day >= moment
    np.testing.assert_array_equal(window.live, np.unique(redemptions.item[late]))
    pairs = {(int(u), int(c)) for u, c in zip(redemptions.user[late], redemptions.item[late], strict=True)}
    row, place = window.answer.nonzero()
    assert set(zip(window.user[row].tolist(), window.live[place].tolist(), strict=True)) == pairs
    assert set(window.user) == set(interactions.user[interactions.day < moment])
    before = redemptions.where(redemptions.day < moment).binary_matrix()
    np.testing.assert_array_equal(window.scores["most_redeemed"][0], np.asarray(before.sum(axis=0))[0, window.live])
    redeemed = np.asarray(before.sum(axis=1))[window.user, 0]
    np.testing.assert_array_equal(window.scores["past_redemptions"][:, 0], redeemed)


def catalogue_items(items):
    campaigns = pd.DataFrame({"item_id": IDS, "title": IDS, "category": "campaign", "product_type": TYPES})
    return ITEMS.conform(pd.concat([items, campaigns], ignore_index=True), "tests")


def run(folder, events, items):
    """split and campaigns as DVC runs them, in a project folder of their own."""
    layout = Layout(folder)
    options = Settings(
        split=SplitSettings(by=TimeSplit(cut=0.75), min_users_per_item=2),
        tasks={"next": TaskSettings(windows=1)},
        tiers=TierSettings(num_layers=4),
        models={},
        campaigns=SMALL,
    )
    write_prepared(layout, events)
    artifacts.write_frame(items, layout.raw_items)
    split.run(layout, options)
    stage.run(layout, options)
    report = json.loads(layout.campaigns_report.read_text())
    return artifacts.load(campaigns.CampaignModel, layout.campaigns), report, artifacts.load(SplitLog, layout.split)


@pytest.fixture(scope="module")
def shop(items, tmp_path_factory):
    events = pd.concat([make_events(), redeem_events()])
    return run(tmp_path_factory.mktemp("shop"), events, catalogue_items(items))


def test_the_stage_finds_the_campaigns_that_the_catalogue_dropped(shop):
    model, report, log = shop
    assert list(model.campaigns) == list(IDS)
    assert list(model.stats.types) == list(TYPES)
    assert not log.log.items.isin(IDS).any()
    assert model.past.now == log.final.bound
    assert report["redemptions"]["known"] + report["redemptions"]["later"] == len(redeem_events())


def test_the_report_is_what_happened(shop):
    """NDCG and AUC from the written model, by counting and by scikit-learn."""
    model, report, log = shop
    redemptions = campaigns.redemption_history(redeem_events(), log.log.users, IDS, log.log.now)
    gains, areas = {}, []
    moment = log.final.bound
    while moment + 14 <= log.log.now:
        past, before = log.log.before(moment), redemptions.before(moment)
        truth = campaigns.redemption_labels(redemptions, moment, 14)
        live = np.flatnonzero(truth.any(axis=0))
        scores = model.at(past, before).score(past, before)
        for user in np.flatnonzero(truth.any(axis=1)):
            order = live[np.argsort(-scores[user, live], kind="stable")][:3]
            gain = sum(truth[user, column] / np.log2(place + 2) for place, column in enumerate(order))
            ideal = sum(1 / np.log2(place + 2) for place in range(min(3, truth[user].sum())))
            gains.setdefault(user, []).append(gain / ideal)
        areas += [roc_auc_score(truth[:, one], scores[:, one]) for one in live if truth[:, one].sum() >= 5]
        moment += 14
    mean = np.mean([np.mean(found) for found in gains.values()])
    assert report["lists"]["model"]["ndcg@3"] == pytest.approx(mean, abs=1e-6)
    assert report["lists"]["users"] == len(gains)
    assert report["targeting"]["model"]["auc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert report["targeting"]["campaigns"] == len(areas)
    for baseline in ("type_popularity", "most_redeemed"):
        assert report["lists"]["model"]["ndcg@3"] > report["lists"][baseline]["ndcg@3"]


def test_what_comes_after_the_cut_changes_no_score(shop, items, tmp_path):
    model, report, log = shop
    events = redeem_events()
    late = events["timestamp"] >= from_days(log.final.bound)
    events.loc[late, "item_id"] = events.loc[late, "item_id"].map({"c0": "c1", "c1": "c0", "c2": "c3"})
    other, told, _ = run(tmp_path, pd.concat([make_events(), events]), catalogue_items(items))
    known = log.history(log.final.name)
    np.testing.assert_array_equal(other.score(known, other.past), model.score(known, model.past))
    assert told["lists"]["model"]["ndcg@3"] < report["lists"]["model"]["ndcg@3"]


def test_a_log_without_redemptions_has_no_campaigns_and_says_so(items, tmp_path, capsys):
    model, report, log = run(tmp_path, make_events(), catalogue_items(items))
    assert model.num_campaigns == report["campaigns"] == 0
    assert (report["judged"], report["reason"]) == (False, "the log has no redeem event")
    assert model.score(log.log, model.past).shape == (log.log.num_users, 0)
    assert "no redeem event" in capsys.readouterr().out


def test_campaigns_that_nobody_described_are_of_an_unknown_type(items):
    events = pd.concat([make_events(), redeem_events()])
    ids, types = stage.read_campaigns(events, items, SMALL)
    assert (list(ids), set(types)) == (["c0", "c1", "c2"], {"unknown"})
    partly = catalogue_items(items)
    partly = partly[partly["item_id"] != "c1"].assign(product_type=partly["product_type"].replace("small", None))
    ids, types = stage.read_campaigns(events, partly, SMALL)
    assert dict(zip(ids, types, strict=True)) == {"c0": "big", "c1": "unknown", "c2": "unknown", "c3": "unknown"}
