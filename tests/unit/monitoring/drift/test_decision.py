"""A verdict starts at most one retrain per alarm, within cool-down and budget, whatever the order of past decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitoring.drift import CanaryResult, DriftDecision, DriftFinding, DriftVerdict, FeedFault, decide
from tierrec_core.evaluation.bootstrap import ConfidenceInterval
from tierrec_core.settings import MonitorSettings, RetrainSettings

AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
SETTINGS = MonitorSettings(cooldown_days=3, retrains_a_week=2)
ALARM = DriftFinding("shares", "medium", "BEEF", 0.041, 0.069, 0.125, 0.05, 0.0002, 0.01, True, 730, 62)
CALM = DriftFinding("volume", "all", "events a user", 2.0, 2.1, 0.1, 0.2, 0.4, 0.9, False)


def verdict(end: float, *, drift: bool = True, fault: bool = False) -> DriftVerdict:
    faults = (FeedFault("days are missing", "5 of 28", "fewer than 2"),) if fault else ()
    return DriftVerdict(end - 28, end, 100, (ALARM if drift else CALM, CALM), faults)


def acts(ends: list[float], model: str = "m:1", settings: MonitorSettings = SETTINGS) -> list[str]:
    past: list[DriftDecision] = []
    for end in ends:
        past.append(decide(verdict(end), past[::-1], settings, model=model, at=AT))
    return [one.act for one in past]


def canary(end: float, value: float, half: float = 0.0002) -> CanaryResult:
    """Of a champion that was trained up to day 80."""
    return CanaryResult(80.0, end - 7, end, ConfidenceInterval(value, value - half, value + half), 900)


WORTH = RetrainSettings(worth=0.02)
UNKNOWN = CanaryResult(80.0, 93.0, 100.0, reason="few users")


def test_drift_starts_a_retrain_and_says_why() -> None:
    made = decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT)
    assert (made.act, made.window_end, made.model) == ("retrain", 100.0, "m:1")
    assert made.reasons == (
        "medium users: 2.8 points more of their events in category 'BEEF' (4.1% -> 6.9%), a net 62 of 730 users "
        "(shares: .12 > .05 Cohen's h, p .0002); a retrain learns it",
    )


def test_no_drift_starts_nothing() -> None:
    made = decide(verdict(100.0, drift=False), (), SETTINGS, model="m:1", at=AT)
    assert made.act == "none"
    assert "no drift" in made.reasons[0]


@pytest.mark.parametrize("held", [False, True])
def test_a_fault_wins_over_drift_and_over_a_hold(held: bool) -> None:
    made = decide(verdict(100.0, fault=True), (), SETTINGS, model="m:1", at=AT, held=held)
    assert made.act == "fault"
    assert made.reasons == ("data fault: days are missing: 5 of 28, wanted fewer than 2",)


def test_held_drift_is_seen_and_starts_nothing_and_counts_for_nothing() -> None:
    held = decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT, held=True)
    assert held.act == "held"
    assert decide(verdict(100.0), (held,), SETTINGS, model="m:1", at=AT).act == "retrain"


def test_the_same_alarm_fires_once() -> None:
    settings = MonitorSettings(cooldown_days=0, retrains_a_week=9)
    assert acts([100.0, 100.0], settings=settings) == ["retrain", "wait"]
    first, again = (decide(verdict(100.0), (), settings, model="m:1", at=AT) for _ in range(2))
    assert first.key == again.key


@pytest.mark.parametrize(("end", "model"), [(101.0, "m:1"), (100.0, "m:2")])
def test_another_window_or_model_is_another_alarm(end: float, model: str) -> None:
    first = decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT)
    assert decide(verdict(end), (), SETTINGS, model=model, at=AT).key != first.key


def test_cool_down_counts_days_of_the_log_not_of_the_clock() -> None:
    past = [decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT)]
    later = AT + timedelta(days=300)
    early = decide(verdict(102.0), past, SETTINGS, model="m:2", at=later)
    assert early.act == "wait"
    assert "2 of 3 days" in early.reasons[0]
    assert decide(verdict(103.0), past, SETTINGS, model="m:2", at=AT).act == "retrain"


def test_a_week_has_no_more_retrains_than_its_budget() -> None:
    assert acts([100.0, 103.0, 106.0, 106.9, 107.0]) == ["retrain", "retrain", "wait", "wait", "retrain"]


def test_a_window_older_than_one_acted_on_waits() -> None:
    assert acts([100.0, 90.0]) == ["retrain", "wait"]


def test_the_moment_is_written_in_utc() -> None:
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    assert decide(verdict(100.0), (), SETTINGS, model="m:1", at=tokyo).at == "2024-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("drift", "result", "act"),
    [
        (False, canary(100.0, 0.004), "retrain"),  # 13 days of .004 are .052
        (True, canary(100.0, 0.004), "retrain"),
        (False, canary(100.0, 0.001), "none"),
        (True, canary(100.0, 0.001), "none"),  # .013 lost for sure, and a retrain is worth .02
        (True, canary(100.0, 0.001, half=0.004), "retrain"),  # too few users to contradict
        (False, canary(100.0, 0.003, half=0.004), "none"),
        (False, UNKNOWN, "none"),
        (True, UNKNOWN, "retrain"),
    ],
)
def test_a_retrain_starts_when_it_pays_or_on_drift_that_the_canary_does_not_contradict(
    drift: bool, result: CanaryResult, act: str
) -> None:
    made = decide(verdict(100.0, drift=drift), (), SETTINGS, model="m:1", at=AT, canary=result, retrain=WORTH)
    assert made.act == act
    said = "\n".join(made.reasons)
    assert ("not known: few users" in said) == (result is UNKNOWN)
    assert ("; a retrain is worth 0.02" in said) == (result is not UNKNOWN)
    assert ("surely less is lost than a retrain is worth" in said) == (drift and act == "none")
    assert made.reasons[-1] == verdict(100.0, drift=drift).reasons()[-1]


def test_a_category_that_the_champion_cannot_know_is_learned_at_the_first_look() -> None:
    new = DriftFinding(
        "unseen_categories", "all", "categories new since the cut", 0.0, 0.018, 0.27, 0.06, 1e-4, 1e-3, True
    )
    options = {"model": "m:1", "at": AT, "canary": canary(100.0, 0.001), "retrain": WORTH}
    assert decide(DriftVerdict(72.0, 100.0, 100, (ALARM,), ()), (), SETTINGS, **options).act == "none"
    assert decide(DriftVerdict(72.0, 100.0, 100, (ALARM, new), ()), (), SETTINGS, **options).act == "retrain"
    calm = DriftVerdict(72.0, 100.0, 100, (replace(new, alarm=False),), ())
    assert decide(calm, (), SETTINGS, **options).act == "none"


def test_the_loss_adds_up_until_a_retrain_pays_and_starts_anew_with_the_next_champion() -> None:
    past: list[DriftDecision] = []
    for end in (88.0, 95.0, 102.0, 109.0):
        one = decide(
            verdict(end, drift=False), past, SETTINGS, model="m:1", at=AT, canary=canary(end, 0.0012), retrain=WORTH
        )
        past.append(one)
    # .0012 for 1, 8, 15 and 22 days
    assert [one.act for one in past] == ["none", "none", "none", "retrain"]
    fresh = CanaryResult(109.0, 116.0, 123.0, ConfidenceInterval(0.0012, 0.001, 0.0014), 900)
    after = decide(verdict(123.0, drift=False), past, SETTINGS, model="m:2", at=AT, canary=fresh, retrain=WORTH)
    assert after.act == "none"


def weekly(ends: list[float], gain: float) -> list[DriftDecision]:
    """Decisions by value alone, on one champion that no retrain replaces."""
    past: list[DriftDecision] = []
    for end in ends:
        one = decide(
            verdict(end, drift=False), past[::-1], SETTINGS, model="m:1", at=AT, canary=canary(end, gain), retrain=WORTH
        )
        past.append(one)
    return past


def test_a_retrain_that_left_the_champion_in_place_starts_the_loss_anew() -> None:
    decisions = weekly([100.0 + 7 * week for week in range(5)], 0.0018)
    # .0018 for 13 days reach .02, and again in two weeks after each retrain
    assert [one.act for one in decisions] == ["retrain", "none", "retrain", "none", "retrain"]
    assert "NDCG@10 x days are lost since the retrain of 1970-04-11, " in decisions[1].reasons[0]
    assert decisions[1].value is not None
    assert decisions[1].value.loss is not None
    assert decisions[1].value.loss.value == pytest.approx(7 * 0.0018)


def test_a_retrain_of_another_champion_or_a_window_no_earlier_leaves_the_loss_as_it_is() -> None:
    retrain = decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT)
    for past, end in ((replace(retrain, model="m:0"), 107.0), (retrain, 93.0), (retrain, 100.0)):
        options = {"model": "m:1", "at": AT, "canary": canary(end, 0.004), "retrain": WORTH}
        one, alone = (decide(verdict(end, drift=False), known, SETTINGS, **options) for known in ((past,), ()))
        assert one.value == alone.value


@pytest.mark.parametrize("drift", [True, False])
def test_no_retrain_replaces_a_challenger_that_is_being_rolled_out(drift: bool) -> None:
    options = {"model": "m:1", "at": AT, "canary": canary(100.0, 0.01), "retrain": WORTH}
    made = decide(verdict(100.0, drift=drift), (), SETTINGS, challenger="tierrec:2", **options)
    assert made.act == "wait"
    assert made.reasons[0].startswith("tierrec:2 is being rolled out; ")
    idle = replace(options["canary"], gain=ConfidenceInterval(0.0, -0.0001, 0.0001))
    calm = decide(verdict(100.0, drift=False), (), SETTINGS, challenger="tierrec:2", **options | {"canary": idle})
    assert calm.act == "none"


def test_a_retrain_that_pays_waits_for_cool_down_and_hold_and_never_wins_over_a_fault() -> None:
    paid = {"model": "m:1", "at": AT, "canary": canary(102.0, 0.02), "retrain": WORTH}
    past = [decide(verdict(100.0), (), SETTINGS, model="m:1", at=AT)]
    early = decide(verdict(102.0, drift=False), past, SETTINGS, **paid)
    assert (early.act, early.reasons[0]) == ("wait", "cool-down: 2 of 3 days since the last retrain")
    assert decide(verdict(102.0, drift=False), (), SETTINGS, held=True, **paid).act == "held"
    assert decide(verdict(102.0, fault=True), (), SETTINGS, **paid).act == "fault"
