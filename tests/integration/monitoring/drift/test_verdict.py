"""The verdict finds planted drift in a synthetic world, names tier and family, and is quiet where there is none."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import issparse

from monitoring.drift import DriftReference, OnlineMetrics, WindowMeasurement, measure_window, newest_complete_end
from monitoring.drift.statistics.effect_limits import BOUNDS
from monitoring.drift.statistics.paired_tests import paired_comparisons
from tests.support.drift_world import CUT, CUT_DAY, SETTINGS, TIERS, WIDTH, DriftWorld, known, made, moved_to
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import from_days


@pytest.fixture(scope="module")
def steady() -> DriftWorld:
    return made(seed=5)


def reassigned(events: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Assign each visit of the two windows around the cut to one of them at random."""
    day = (events["timestamp"] - from_days(CUT - WIDTH)) / pd.Timedelta(days=1)
    near = day.to_numpy() >= 0
    visit, _ = pd.factorize(events["session_id"])
    later = day.groupby(visit).transform("min").to_numpy() >= WIDTH
    wanted = (rng.random(visit.max() + 1) < 0.5)[visit]
    shift = np.where(near, (wanted.astype(int) - later.astype(int)) * WIDTH, 0)
    stamps = events["timestamp"] + pd.to_timedelta(shift, unit="D")
    return EVENTS.conform(events.assign(timestamp=stamps).sort_values("timestamp"), "test")


def members_of(reference: DriftReference, tier: str) -> pd.Index:
    return reference.users[reference.groups.tier == reference.groups.tier_names.index(tier)]


def assert_same(one: WindowMeasurement, other: WindowMeasurement) -> None:
    for field in fields(one):
        values = (getattr(window, field.name) for window in (one, other))
        np.testing.assert_array_equal(*(value.toarray() if issparse(value) else value for value in values))


def test_a_steady_world_is_steady(steady: DriftWorld) -> None:
    verdict = steady.verdict()
    assert (verdict.state, verdict.faults) == ("steady", ())
    assert verdict.num_users > 300


@pytest.mark.parametrize("tier", ["light", "medium", "heavy"])
def test_a_tier_that_moves_is_named_with_its_category(steady: DriftWorld, tier: str) -> None:
    members = members_of(steady.reference, tier)
    events = moved_to(steady, members, "category 3", 0.5, np.random.default_rng(1))
    verdict = steady.verdict(events)
    assert verdict.state == "drift"
    shares = {(one.tier, one.what) for one in verdict.alarms if one.family == "shares" and one.effect > 0}
    assert (tier, "category 3") in shares
    assert {other for other, _ in shares} <= {tier, "all"}
    assert tier in verdict.payload()["tiers"]
    assert "category 3" in verdict.payload()["layers"]
    assert any(tier in reason and "'category 3'" in reason for reason in verdict.reasons())


@pytest.mark.parametrize(
    ("names", "quantiles"),
    [(("casual", "regular"), (0.5,)), (("rare", "monthly", "weekly", "daily"), (0.3, 0.6, 0.85))],
)
def test_a_project_with_other_tiers_is_compared_by_these(
    steady: DriftWorld, names: tuple[str, ...], quantiles: tuple[float, ...], tmp_path: Path
) -> None:
    reference = known(
        steady.events, steady.items, tiers=TIERS.model_copy(update={"names": names, "quantiles": quantiles})
    )
    artifacts.save(reference, tmp_path)
    world = replace(steady, reference=artifacts.load(DriftReference, tmp_path))
    assert len(reference.context.tier_cuts) == len(names) - 1
    assert {key.partition("/")[2] for key in reference.thresholds} == {"all", *names}
    assert {found.tier for found in world.verdict().findings} == {"all", *names}
    assert world.verdict().state == "steady"
    for tier in names:
        members = members_of(reference, tier)
        alarms = world.verdict(moved_to(world, members, "category 3", 0.6, np.random.default_rng(1))).alarms
        assert {found.tier for found in alarms} - {"all"} == {tier}
    gone = steady.current & (np.random.default_rng(2).random(len(steady.events)) < 0.8)
    assert "all tiers collapsed at once" in {fault.what for fault in world.verdict(steady.events[~gone]).faults}


def test_movers_who_all_go_elsewhere_are_seen_though_shares_hardly_move() -> None:
    world = made(seed=6, drift_day=CUT_DAY, drift_share=0.4)
    verdict = world.verdict()
    assert verdict.state == "drift"
    assert "moves" in {one.family for one in verdict.alarms}
    shares = [one for one in verdict.findings if one.family == "shares" and one.tier == "all"]
    assert max(abs(one.after - one.before) for one in shares) < 0.05


@pytest.mark.slow
def test_reassigned_visits_alarm_rarely(steady: DriftWorld) -> None:
    states = []
    for seed in range(12):
        events = reassigned(steady.events, np.random.default_rng(seed))
        again = DriftWorld(events, steady.items, known(events, steady.items))
        states.append(again.verdict(seed=seed).state)
    assert states.count("drift") <= 2
    assert "fault" not in states


def test_a_tier_that_collapses_is_drift_and_no_fault(steady: DriftWorld) -> None:
    heavy = members_of(steady.reference, "heavy")
    gone = steady.current & steady.events["user_id"].isin(heavy)
    gone &= np.random.default_rng(2).random(len(gone)) < 0.7
    verdict = steady.verdict(steady.events[~gone])
    assert verdict.state == "drift"
    named = {(one.family, one.tier) for one in verdict.alarms}
    assert {("volume", "heavy"), ("transitions", "heavy")} <= named
    assert not {tier for family, tier in named if family == "volume"} & {"light", "medium"}
    assert not {family for family, _ in named} & {"moves", "shares", "interests", "embedding"}


def test_every_difference_flips_its_sign_when_windows_are_swapped(steady: DriftWorld) -> None:
    reference, current = (steady.reference, measure_window(steady.reference, steady.events, steady.items, CUT + WIDTH))
    pair = reference.pair_with(current)
    forth, back = (
        list(paired_comparisons(pair)),
        list(paired_comparisons(replace(pair, before=current, after=pair.before))),
    )
    assert all(np.abs(one.after - one.before).max() > 0 for one in forth if one.family in ("moves", "arrivals"))
    for one, other in zip(forth, back, strict=True):
        for members in reference.groups.members.values():
            np.testing.assert_allclose(
                one.comparison_family(members).differences,
                -other.comparison_family(members).differences,
                atol=1e-9,
                err_msg=one.family,
            )


def test_a_new_category_is_named() -> None:
    world = made(seed=7)
    rng = np.random.default_rng(3)
    hit = world.current.to_numpy() & (rng.random(len(world.events)) < 0.1)
    ids = world.events["item_id"].mask(hit, "brand-new")
    items = pd.concat([world.items, world.items.head(1).assign(item_id="brand-new", category="novelty")])
    again = DriftWorld(world.events.assign(item_id=ids), items, world.reference)
    verdict = again.verdict()
    assert verdict.state == "drift"
    assert {"unseen_categories", "new_items"} <= {one.family for one in verdict.alarms}
    found = next(one for one in verdict.alarms if one.family == "unseen_categories" and one.tier == "all")
    assert found.before == 0.0
    assert 0.05 < found.after < 0.15


def test_lists_that_convert_less_are_named(steady: DriftWorld) -> None:
    rng = np.random.default_rng(4)
    shown = rng.integers(1, 12, (2, 500))
    rates = np.array([[0.2], [0.2]]), np.array([[0.1], [0.2]])
    before, after = (rng.binomial(shown, rate) for rate in rates)
    online = OnlineMetrics(("old champion", "new challenger"), shown, before, shown, after)
    alarms = [one for one in steady.verdict(online=online).alarms if one.family == "online"]
    assert [one.what for one in alarms] == ["old champion"]
    assert alarms[0].after == pytest.approx(after[0].sum() / shown[0].sum())


def test_lists_that_convert_more_do_not_alarm(steady: DriftWorld) -> None:
    rng = np.random.default_rng(5)
    shown = rng.integers(1, 12, (1, 500))
    online = OnlineMetrics(("champion",), shown, rng.binomial(shown, 0.1), shown, rng.binomial(shown, 0.2))
    assert steady.verdict(online=online).state == "steady"


def test_the_verdict_survives_disk(steady: DriftWorld, tmp_path: Path) -> None:
    artifacts.save(steady.reference, tmp_path / "reference")
    loaded = artifacts.load(DriftReference, tmp_path / "reference")
    assert replace(steady, reference=loaded).verdict() == steady.verdict()


def test_the_order_of_rows_changes_nothing(steady: DriftWorld) -> None:
    shuffled = steady.events.sample(frac=1.0, random_state=1).reset_index(drop=True)
    one, other = (measure_window(steady.reference, log, steady.items, CUT + WIDTH) for log in (steady.events, shuffled))
    assert_same(one, other)
    reference = known(shuffled, steady.items)
    assert DriftWorld(shuffled, steady.items, reference).verdict() == steady.verdict()


def test_the_same_seed_gives_the_same_verdict_and_another_nearly(steady: DriftWorld) -> None:
    one, again, other = (steady.verdict(seed=seed) for seed in (3, 3, 4))
    assert one == again
    p = np.array([[found.p_value for found in verdict.findings] for verdict in (one, other)])
    assert (p[0] != p[1]).any()
    assert np.abs(p[0] - p[1]).max() < 0.08


def test_only_the_window_is_measured(steady: DriftWorld) -> None:
    inside = steady.events[steady.current]
    one, other = (measure_window(steady.reference, log, steady.items, CUT + WIDTH) for log in (steady.events, inside))
    assert_same(one, other)


def test_counts_are_those_of_a_plain_count(steady: DriftWorld) -> None:
    observation, reference = steady.reference.window, steady.reference
    rows = steady.events[
        (steady.events["timestamp"] >= from_days(CUT - WIDTH))
        & (steady.events["timestamp"] < from_days(CUT))
        & (steady.events["event"] != "redeem")
    ].merge(steady.items[["item_id", "category"]], on="item_id")
    names = reference.context.known_items.names
    rows["name"] = rows["category"].where(rows["category"].isin(names), names[-1])
    wanted = pd.crosstab(rows["user_id"], rows["name"]).reindex(index=reference.users, columns=names, fill_value=0)
    np.testing.assert_array_equal(observation.counts, wanted.to_numpy())


def test_a_log_that_begins_with_the_window_has_the_default_limits(steady: DriftWorld) -> None:
    young = steady.events[steady.events["timestamp"] >= from_days(CUT - WIDTH)]
    world = DriftWorld(young, steady.items, known(young, steady.items))
    limits = world.reference.thresholds
    assert world.reference.num_past == 0
    assert {float(limits[f"{family}/all"].max()) for family in ("shares", "moves")} == {
        BOUNDS["shares"][1],
        BOUNDS["moves"][1],
    }
    assert world.verdict().state == "steady"


def test_a_log_without_categories_is_labelled_by_layers(steady: DriftWorld) -> None:
    bare = steady.items.assign(category=pd.NA, brand=pd.NA)
    world = DriftWorld(steady.events, bare, known(steady.events, bare))
    assert world.reference.context.known_items.basis == "layer"
    assert world.verdict().state == "steady"
    members = steady.reference.users[steady.reference.groups.tier == 2]
    assert world.verdict(moved_to(steady, members, "category 3", 0.6, np.random.default_rng(1))).state == "drift"


def test_a_window_without_users_is_refused_by_name(steady: DriftWorld) -> None:
    early = steady.events[steady.events["timestamp"] < from_days(CUT - WIDTH)]
    with pytest.raises(EmptyDataError, match=r"no event of the \d+ users in the 28 days before 2024-06-17"):
        known(early, steady.items)


def stamped(*days: float) -> pd.DataFrame:
    return pd.DataFrame({"timestamp": pd.to_datetime([day * 86_400 for day in days], unit="s", utc=True).as_unit("us")})


@pytest.mark.parametrize(
    ("days", "now", "wanted"),
    [
        ((100.0, 129.5), None, 128.0),
        ((100.0, 130.0), None, 129.0),
        ((100.0, 129.5, 400.0), 130.0, 128.0),
        ((*np.linspace(100, 129.5, 500), 9999.0), None, 128.0),
        ((*np.linspace(100, 129.5, 500), *np.linspace(190, 199.5, 500)), None, 198.0),
        ((100.0, 129.5), 125.0, 99.0),
    ],
)
def test_the_newest_window_is_complete_and_clocks_that_are_wrong_do_not_move_it(
    days: tuple[float, ...], now: float | None, wanted: float
) -> None:
    clock = None if now is None else from_days(now).to_pydatetime()
    assert newest_complete_end(stamped(*days), SETTINGS, clock) == wanted


def test_a_log_of_the_future_alone_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="no event up to now"):
        newest_complete_end(stamped(100.0), SETTINGS, from_days(50.0).to_pydatetime())
