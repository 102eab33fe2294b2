"""Comparisons of two small bundles with different catalogues, against loops over ids."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.support.bundles import make_bundle
from tierrec_core.base.errors import EmptyDataError, GateError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.model_comparison import compare_models
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.protocols.model import Training
from tierrec_core.settings import GateSettings, TierSettings
from tierrec_core.tiers import Tiering

FIRST = pd.Timestamp("2024-01-01", tz="UTC").timestamp() / 86_400
EARLY, START, UNTIL = FIRST + 75, FIRST + 90, FIRST + 110
SETTINGS = GateSettings(bootstraps=200, latency_users=3)
TASKS = {"next": True, "discovery": False}


def bundle_of(events: pd.DataFrame, items: pd.DataFrame, now: float) -> Bundle:
    """Fitted on what was known of these items at `now`."""
    known = events[to_days(events["timestamp"]) < now]
    history = Interactions.from_events(known, items=pd.Index(items["item_id"], dtype=object), now=now)
    tiering = Tiering.fit(history, items, TierSettings(num_layers=4), seed=0)
    return make_bundle(Training(history=history, items=items, tiering=tiering, target=("purchase",), seed=0))


@pytest.fixture(scope="module")
def champion(events: pd.DataFrame, items: pd.DataFrame) -> Bundle:
    """Trained two weeks earlier, without the last ten items."""
    return bundle_of(events, items[:30].reset_index(drop=True), EARLY)


@pytest.fixture(scope="module")
def challenger(events: pd.DataFrame, items: pd.DataFrame) -> Bundle:
    """Trained up to the window, without the first five items, its columns in another order."""
    return bundle_of(events, items[5:][::-1].reset_index(drop=True), START)


def run(champion: Bundle, challenger: Bundle, events: pd.DataFrame, **options):
    return compare_models(champion, challenger, events, START, UNTIL, SETTINGS, **{"main": "next", "seed": 0} | options)


def met_before(events: pd.DataFrame, catalogue: Collection[str]) -> dict[str, set[str]]:
    past = events[(to_days(events["timestamp"]) < START) & events["item_id"].isin(catalogue)]
    return {user: set(rows["item_id"]) for user, rows in past.groupby("user_id")}


def truth_of(events: pd.DataFrame, catalogue: Collection[str], repeats: bool) -> list[tuple[str, set[str]]]:
    """Users in order of their ids, with what they bought in the window."""
    met, day = met_before(events, catalogue), to_days(events["timestamp"])
    rows = events[(day >= START) & (day < UNTIL) & (events["event"] == "purchase")]
    bought: dict[str, set[str]] = {}
    for user, item in zip(rows["user_id"], rows["item_id"], strict=True):
        if user in met and item in catalogue and (repeats or item not in met[user]):
            bought.setdefault(user, set()).add(item)
    return sorted(bought.items())


def ndcg(shown: list[str], wanted: set[str], k: int = 10) -> float:
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(shown[:k]) if item in wanted)
    return gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))


def history_of(bundle: Bundle, events: pd.DataFrame, user: str) -> Interactions:
    mine = events[(events["user_id"] == user) & (to_days(events["timestamp"]) < START)]
    index = pd.Index([user], dtype=object)
    try:
        return Interactions.from_events(mine, users=index, items=bundle.history.items, now=START)
    except EmptyDataError:
        return bundle.visitor([])


def shown_to(bundle: Bundle, task: str, history: Interactions) -> list[str]:
    listed = bundle.recommend(task, history, 10).items[0]
    return [bundle.history.items[column] for column in listed if column >= 0]


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_those_of_a_loop_over_ids(task, champion, challenger, events):
    catalogue = {*champion.history.items, *challenger.history.items}
    wanted = truth_of(events, catalogue, TASKS[task])
    found = run(champion, challenger, events)
    scores = found.tasks[task]
    assert len(scores.champion) == len(wanted) > 30
    sides = (champion, scores.champion, found.champion), (challenger, scores.challenger, found.challenger)
    for bundle, values, side in sides:
        lists = [shown_to(bundle, task, history_of(bundle, events, user)) for user, _ in wanted]
        expected = [ndcg(shown, truth) for shown, (_, truth) in zip(lists, wanted, strict=True)]
        np.testing.assert_allclose(values, expected, atol=1e-12)
        assert side.coverage[task] == len({item for shown in lists for item in shown}) / len(catalogue)
    tiers = [challenger.tiering.assign(history_of(challenger, events, user))[0] for user, _ in wanted]
    assert scores.tier.tolist() == tiers


def test_the_main_task_comes_first_and_is_named(champion, challenger, events):
    found = run(champion, challenger, events, main="discovery", cutoff=5)
    assert list(found.tasks) == ["discovery", "next"]
    report = found.check(SETTINGS, np.random.default_rng(0))
    assert report.checks[1].name == "discovery: NDCG@5"


def test_a_bundle_against_itself_is_no_change(challenger, events):
    found = run(challenger, challenger, events, calibration=(0.02, 0.03))
    for scores in found.tasks.values():
        np.testing.assert_array_equal(scores.champion, scores.challenger)
    assert found.champion.coverage == found.challenger.coverage
    assert (found.champion.calibration_error, found.challenger.calibration_error) == (0.02, 0.03)
    assert (found.champion.latency_p95 or 0) > 0
    assert (found.challenger.latency_p95 or 0) > 0
    report = found.check(SETTINGS.model_copy(update={"max_latency_ratio": 1e9}), np.random.default_rng(0))
    assert (report.verdict, report.passed) == ("no change", True)


def test_who_knows_what_all_buy_now_wins(champion, challenger, events):
    """From day 80 on, everybody buys an item that the champion never heard of."""
    craze = pd.concat([events[events["item_id"] != "i35"], crowd(events, "i35", range(80, 110))])
    late = bundle_of(craze, challenger.items, START)
    scores = run(champion, late, craze).tasks["next"]
    assert len(scores.champion) == 60
    assert (scores.challenger - scores.champion).mean() > 0.1
    report = run(champion, late, craze).check(SETTINGS, np.random.default_rng(0))
    assert report.tasks["next"].overall.interval.low > 0


def crowd(events: pd.DataFrame, item: str, days: range) -> pd.DataFrame:
    """One purchase of the item by every user on each of the days."""
    first = events.drop_duplicates("user_id")
    moments = [pd.Timestamp((FIRST + day + 0.5) * 86_400, unit="s", tz="UTC") for day in days]
    rows = pd.concat([first.assign(item_id=item, timestamp=moment) for moment in moments])
    return rows.astype(events.dtypes.to_dict())


def test_a_user_whom_no_training_saw_is_judged_by_their_fresh_history(champion, events):
    """The champion was trained at day 75; the newcomer came at day 80 and goes on at day 95."""
    moments = pd.to_datetime((FIRST + np.array([80, 81, 95, 96])) * 86_400, unit="s", utc=True)
    newcomer = events[:4].assign(user_id="new", item_id=["i01", "i02", "i01", "i12"], timestamp=moments)
    joined = pd.concat([events, newcomer.astype(events.dtypes.to_dict())])
    before, after = (run(champion, champion, log).tasks["next"].champion for log in (events, joined))
    assert "new" not in champion.history.users
    shown = shown_to(champion, "next", history_of(champion, joined, "new"))
    assert after[0] == pytest.approx(ndcg(shown, {"i01", "i12"}))  # the first id of all
    np.testing.assert_array_equal(after[1:], before)


def test_impressions_are_no_behaviour(champion, challenger, events):
    shown = events.assign(event="impression").astype(events.dtypes.to_dict())
    one, two = run(champion, challenger, events), run(champion, challenger, pd.concat([events, shown]))
    for task, scores in one.tasks.items():
        np.testing.assert_array_equal(scores.champion, two.tasks[task].champion)
        np.testing.assert_array_equal(scores.challenger, two.tasks[task].challenger)


def test_a_window_that_a_side_has_seen_is_refused(champion, challenger, events):
    with pytest.raises(GateError, match=r"challenger was trained on events before 2024-03-31.*begins at 2024-03-30"):
        compare_models(champion, challenger, events, START - 1, UNTIL, SETTINGS, main="next", seed=0)


def test_a_task_that_one_side_lacks(champion, challenger, events):
    blends, configs = ({"next": part["next"]} for part in (challenger.blends, challenger.task_configs))
    only_next = replace(challenger, blends=blends, task_configs=configs)
    report = run(champion, only_next, events).check(SETTINGS, np.random.default_rng(0))
    missing = [one for one in report.checks if one.name == "discovery: coverage"]
    assert [(one.found, one.passed) for one in missing] == [("task is missing", False)]
    assert list(run(only_next, champion, events).tasks) == ["next"]
    with pytest.raises(GateError, match="challenger has the tasks next, wanted 'discovery'"):
        run(champion, only_next, events, main="discovery")


def test_a_window_in_which_nobody_did_anything_is_named(champion, challenger, events):
    past = events[to_days(events["timestamp"]) < START]
    with pytest.raises(EmptyDataError, match=r"'next' has no purchase event .* 2024-03-31 to 2024-04-20"):
        run(champion, challenger, past)
