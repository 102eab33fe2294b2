"""Repurchase policy: a world with milk and fridges, whose answers are known, and a loop over all purchases."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rules import RepeatRule
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.bundle.repurchase import RepurchasePolicy, suppressed_items
from tierrec_core.data.interactions import Interactions

CATEGORY = {"milk": "dairy", "yoghurt": "dairy", "fridge": "kitchen", "oven": "kitchen", "odd": None}
Rows = list[tuple[str, str, float]]


def history_of(purchases: Rows, event: str = "purchase") -> Interactions:
    frame = pd.DataFrame(purchases, columns=["user_id", "item_id", "day"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    frame["session_id"] = frame["user_id"] + frame["day"].astype(str)
    events = EVENTS.conform(frame.assign(event=event), "tests")
    return Interactions.from_events(events, items=pd.Index(list(CATEGORY), dtype=object))


def fitted(history: Interactions, **options: float) -> RepurchasePolicy:
    return RepurchasePolicy.fit(history, pd.Series(list(CATEGORY.values())), RepurchasePolicy.Config(**options))


@pytest.fixture(scope="module")
def world() -> Interactions:
    """80 users who buy milk every 6 to 8 days, and each kitchen machine at most once."""
    rng = np.random.default_rng(0)
    rows: Rows = []
    for user in range(80):
        days = np.cumsum(rng.uniform(6, 8, 12)) + rng.uniform(0, 30)
        rows += [(f"u{user}", "milk", float(day)) for day in days]
        rows += [(f"u{user}", item, float(rng.uniform(0, 100))) for item in ("fridge", "oven")]
    return history_of(rows)


def test_milk_comes_back_in_a_week_and_a_fridge_does_not(world: Interactions):
    policy = fitted(world)
    assert policy.names == ("dairy", "kitchen")
    assert policy.repeats.tolist() == [True, False, True]
    assert 6 < policy.wait_days[0] < 6.5
    np.testing.assert_allclose(policy.repeat_share[:2], [11 / 12, 0], atol=0.05)


def test_hides_what_was_bought_too_lately_and_durables_for_good(world: Interactions):
    waits = fitted(world).waits(pd.Series(list(CATEGORY.values())), {})
    milk, yoghurt, fridge, oven, odd = range(5)
    bought = np.array([milk, milk, yoghurt, fridge, oven, odd, odd])
    days = np.array([30.0, 2.0, 8.0, 1.0, 4000.0, 1.0, 9.0])
    assert suppressed_items(waits, bought, days).tolist() == [milk, fridge, oven, odd]
    assert suppressed_items(waits, bought[:0], days[:0]).tolist() == []


PURCHASES = st.lists(
    st.tuples(st.sampled_from(["u0", "u1"]), st.sampled_from(list(CATEGORY)), st.integers(0, 12).map(float)),
    min_size=1,
    max_size=20,
)


@given(PURCHASES, st.floats(0.05, 0.95), st.floats(0, 1))
def test_equals_a_loop_over_everybodys_purchases(purchases: Rows, quantile: float, min_share: float):
    policy = fitted(history_of(purchases), quantile=quantile, min_share=min_share, prior_purchases=0)
    pauses: dict[str | None, list[float]] = {"dairy": [], "kitchen": [], None: []}
    counts = dict.fromkeys(pauses, 0)
    for user, item in {purchase[:2] for purchase in purchases}:
        days = sorted({day for one, other, day in purchases if (one, other) == (user, item)})
        counts[CATEGORY[item]] += len(days)
        pauses[CATEGORY[item]] += list(np.diff(days))
    everything = [pause for known in pauses.values() for pause in known]
    for place, name in enumerate(pauses):
        known = pauses[name] if counts[name] else everything
        share = len(known) / (counts[name] or sum(counts.values()))
        assert policy.repeat_share[place] == pytest.approx(share)
        assert policy.repeats[place] == (policy.repeat_share[place] >= min_share)
        soonest = np.quantile(pauses[name] or everything or [0.0], quantile)
        assert policy.wait_days[place] == pytest.approx(soonest, abs=1e-6)


def test_few_purchases_say_less_than_the_whole_log(world: Interactions):
    shares = [fitted(world, prior_purchases=prior).repeat_share for prior in (0, 10, 1000, 1e9)]
    overall = 80 * 11 / (80 * 14)
    assert [share[1] for share in shares] == sorted(share[1] for share in shares)
    assert [share[0] for share in shares] == sorted((share[0] for share in shares), reverse=True)
    np.testing.assert_allclose(shares[-1], overall, atol=1e-6)


def test_views_are_no_purchases(world: Interactions):
    policy = fitted(history_of([("u0", "milk", 1.0), ("u0", "milk", 2.0)], event="view"))
    assert not policy.repeats.any()
    assert (policy.wait_days == 0).all()


@pytest.mark.parametrize(
    ("may_repeat", "wait_days", "dairy", "kitchen"),
    [
        (None, None, "learned", np.inf),
        (False, None, np.inf, np.inf),
        (True, None, "learned", "learned"),
        (None, 30.0, 30.0, 30.0),
        (False, 30.0, 30.0, 30.0),
        (True, 0.0, 0.0, 0.0),
    ],
)
def test_overrides_win(
    world: Interactions, may_repeat: bool | None, wait_days: float | None, dairy: object, kitchen: object
):
    policy, override = fitted(world), RepeatRule(may_repeat=may_repeat, wait_days=wait_days)
    names = pd.Series(["dairy", "kitchen", "unheard of", None])
    waits = enumerate((dairy, kitchen))
    expected = [policy.wait_days[place] if wait == "learned" else wait for place, wait in waits]
    found = policy.waits(names, {"dairy": override, "kitchen": override})
    assert found.tolist() == [*expected, policy.wait_days[2], policy.wait_days[2]]
    unheard = policy.waits(names, {"unheard of": RepeatRule(may_repeat=False)})
    assert unheard.tolist() == [policy.wait_days[0], np.inf, np.inf, policy.wait_days[2]]


def test_survives_disk(world: Interactions, tmp_path: Path):
    policy = fitted(world)
    artifacts.save(policy, tmp_path / "repurchase")
    again = artifacts.load(RepurchasePolicy, tmp_path / "repurchase")
    names = pd.Series([*policy.names, None])
    assert again.names == policy.names
    np.testing.assert_array_equal(again.waits(names, {}), policy.waits(names, {}))
