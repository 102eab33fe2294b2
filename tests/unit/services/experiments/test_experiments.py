"""Who sees which variant, and what is concluded: properties of the split, and worlds whose better variant is known."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.experiments import Experiment, Experiments
from services.experiments.assignment import NO_VARIANT
from services.experiments.results import variant_results
from services.experiments.settings import VariantOverrides
from tierrec_core.base.errors import MissingColumnError, SettingsError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
USERS = [f"user {number}" for number in range(5000)]
NOVELTY = """
novelty:
  surfaces: [products, search]
  variants:
    control: {share: 0.5}
    novelty: {share: 0.25, policy: {novelty: 0.3}}
    challenger: {share: 0.15, release: challenger, task: discovery}
"""
CAP = """
cap:
  surfaces: [products]
  variants:
    control: {share: 0.5}
    capped: {share: 0.5, policy: {max_per_category: 2}}
"""


def read(folder: Path, text: str) -> Experiments:
    (folder / "experiments.yaml").write_text(text)
    return Experiments.read(folder / "experiments.yaml")


def of_shares(*shares: float) -> Experiments:
    variants = {f"v{place}": {"share": share} for place, share in enumerate(shares)}
    return Experiments({"test": Experiment.model_validate({"surfaces": ["products"], "variants": variants})})


def variants_of(experiments: Experiments, users=USERS, surface="products") -> list[str | None]:
    return [experiments.assign(user, surface, NOW).variant for user in users]


def test_a_missing_or_empty_file_assigns_nobody(tmp_path: Path) -> None:
    assert Experiments.read(tmp_path / "experiments.yaml").assign("u", "products", NOW) is NO_VARIANT
    assert read(tmp_path, "").assign("u", "products", NOW) == NO_VARIANT
    assert NO_VARIANT.overrides.knobs == frozenset()


def test_users_come_in_the_planned_shares_and_stay(tmp_path: Path) -> None:
    experiments = read(tmp_path, NOVELTY)
    found = variants_of(experiments)
    for name, share in {"control": 0.5, "novelty": 0.25, "challenger": 0.15, None: 0.1}.items():
        assert stats.binomtest(found.count(name), len(USERS), share).pvalue > 0.001
    assert variants_of(read(tmp_path, NOVELTY), surface="search") == found
    assert set(variants_of(experiments, surface="ads")) == {None}


def test_an_assignment_says_what_changes_and_how_likely_it_was(tmp_path: Path) -> None:
    experiments = read(tmp_path, NOVELTY)
    found = {one.variant: one for one in (experiments.assign(user, "products", NOW) for user in USERS)}
    assert found["novelty"].overrides == VariantOverrides(novelty=0.3)
    assert found["challenger"].overrides == VariantOverrides(release="challenger", task="discovery")
    assert found["control"].overrides == found[None].overrides == VariantOverrides()
    propensities = {"control": 0.5, "novelty": 0.25, "challenger": 0.15, None: 1.0}
    assert {name: one.propensity for name, one in found.items()} == propensities
    assert experiments.assign(None, "products", NOW) is NO_VARIANT


@given(
    shares=st.lists(st.integers(0, 20), min_size=2, max_size=5).filter(any),
    growth=st.integers(0, 40),
    grows_first=st.booleans(),
    users=st.lists(st.text(max_size=8), min_size=1, max_size=50),
)
def test_nobody_changes_variant_while_the_first_or_the_last_grows(shares, growth, grows_first, users) -> None:
    before = [share / 100 for share in shares]
    place = 0 if grows_first else -1
    after = before.copy()
    after[place] = min(after[place] + growth / 100, 1 - (sum(before) - before[place]))
    pairs = zip(variants_of(of_shares(*before), users), variants_of(of_shares(*after), users), strict=True)
    grown = f"v{len(shares) - 1 if place else 0}"
    assert all(new == old or (old is None and new == grown) for old, new in pairs)


def test_a_variant_added_at_the_end_takes_nobody_from_the_others() -> None:
    before, after = variants_of(of_shares(0.3, 0.2)), variants_of(of_shares(0.3, 0.2, 0.4))
    assert {(old, new) for old, new in zip(before, after, strict=True) if old != new} == {(None, "v2")}


def test_shares_that_add_up_to_one_leave_nobody_out() -> None:
    assert None not in variants_of(of_shares(0.1, 0.2, 0.7))
    assert set(variants_of(of_shares(0.0, 1.0))) == {"v1"}


def test_experiments_at_once_are_independent_and_both_hold(tmp_path: Path) -> None:
    experiments = read(tmp_path, NOVELTY + CAP)
    found = [experiments.assign(user, "products", NOW) for user in USERS]
    both = [one for one in found if one.experiment == "novelty+cap"]
    table = pd.crosstab(*np.array([one.variant.split("+") for one in both]).T)
    assert table.shape == (3, 2)
    assert stats.chi2_contingency(table).pvalue > 0.001
    one = next(one for one in both if one.variant == "novelty+capped")
    assert one.overrides == VariantOverrides(novelty=0.3, max_per_category=2)
    assert one.propensity == pytest.approx(0.25 * 0.5)
    assert {one.experiment for one in found} == {"novelty+cap", "cap"}


def test_an_experiment_runs_from_its_start_to_just_before_its_end(tmp_path: Path) -> None:
    dated = NOVELTY + "  starts: 2024-06-01\n  ends: 2024-06-02T02:00:00+02:00\n"
    experiments = read(tmp_path, dated.replace("share: 0.15", "share: 0.25"))
    second = timedelta(seconds=1)
    running = [
        experiments.assign("u", "products", moment) != NO_VARIANT
        for moment in (NOW - second, NOW, NOW + timedelta(days=1) - second, NOW + timedelta(days=1))
    ]
    assert running == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NOVELTY.replace("share: 0.5", "share: 0.7"), "novelty: variants: .*add up to 1.1"),
        (NOVELTY.replace("surfaces", "surface"), "unknown key; did you mean 'surfaces'"),
        (NOVELTY.replace("search", "mailbox"), r"novelty: surfaces\.1"),
        (NOVELTY.replace("novelty: 0.3", "novelty: 3"), r"variants\.novelty\.policy\.novelty"),
        (NOVELTY.replace("novelty:\n  sur", "No Velty:\n  sur"), "name: string should match"),
        (NOVELTY + "  starts: 2024-06-01\n  ends: 2024-05-01\n", "ends: .*not after starts"),
        (NOVELTY + "  starts: 5\n", "starts: .*wanted a time such as"),
        (
            NOVELTY + CAP.replace("max_per_category: 2", "novelty: -1"),
            "novelty and cap both change novelty on products",
        ),
        (NOVELTY + CAP + "  salt: novelty\n", "same salt"),
        ("- novelty\n", "holds list"),
        ("novelty: {", "is not YAML"),
        ("novelty: 3\n", "novelty"),
    ],
)
def test_bad_settings_are_told_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as told:
        read(tmp_path, text)
    assert "experiments.yaml" in str(told.value)


def test_one_experiment_may_follow_another_on_the_same_knob(tmp_path: Path) -> None:
    second = CAP.replace("max_per_category: 2", "novelty: -1") + "  starts: 2024-07-01\n"
    experiments = read(tmp_path, NOVELTY + "  ends: 2024-07-01\n" + second)
    assert experiments.labels("novelty") == ["novelty"]
    assert read(tmp_path, NOVELTY + CAP).labels("cap") == ["cap", "novelty+cap"]


def outcomes(users: dict[str, int], rates: dict[str, float], seed: int = 0) -> pd.DataFrame:
    """One row a user; who converts does so once or twice."""
    rng = np.random.default_rng(seed)
    variant = np.repeat(list(users), list(users.values()))
    bought = rng.random(len(variant)) < np.array([rates[name] for name in variant])
    conversions = bought * rng.integers(1, 3, len(variant))
    frame = pd.DataFrame({"variant": variant, "impressions": 3, "conversions": conversions})
    return frame.assign(user_id=[f"u{number}" for number in range(len(variant))])


@pytest.fixture
def novelty(tmp_path: Path) -> Experiment:
    return read(tmp_path, NOVELTY).by_name["novelty"]


SIZES = {"control": 10_000, "novelty": 5000, "challenger": 3000}


def test_a_better_and_a_worse_variant_are_told_apart(novelty: Experiment) -> None:
    frame = outcomes(SIZES, {"control": 0.10, "novelty": 0.14, "challenger": 0.06})
    found = variant_results(frame.sample(frac=1, random_state=0), novelty)
    assert [one.variant for one in found] == list(novelty.variants)
    assert [one.verdict for one in found] == ["baseline", "better", "worse"]
    assert found[0].difference is None
    groups = frame.assign(hit=frame["conversions"] > 0).groupby("variant")
    by_hand = groups.agg(rate=("hit", "mean"), mean=("conversions", "mean"), users=("hit", "size"))
    for one in found:
        assert one.rate.value == pytest.approx(by_hand.loc[one.variant, "rate"])
        assert one.rate.low < one.rate.value < one.rate.high
        assert one.mean_conversions == pytest.approx(by_hand.loc[one.variant, "mean"])
        assert one.users == by_hand.loc[one.variant, "users"]
        assert not one.mismatch
    gain = by_hand.loc["novelty", "rate"] - by_hand.loc["control", "rate"]
    assert found[1].difference.value == pytest.approx(gain)
    assert json.loads(json.dumps([asdict(one) for one in found]))[2]["verdict"] == "worse"


@pytest.mark.medium
def test_equal_variants_are_left_undecided_in_nearly_all_worlds(novelty: Experiment) -> None:
    same = dict.fromkeys(SIZES, 0.1)
    judged = [
        {one.verdict for one in variant_results(outcomes(SIZES, same, seed), novelty)} - {"baseline", "undecided"}
        for seed in range(60)
    ]
    assert stats.binomtest(sum(map(bool, judged)), 60, 0.05, alternative="greater").pvalue > 0.001


def test_a_wrong_split_is_flagged_and_nothing_is_concluded(novelty: Experiment) -> None:
    lost = SIZES | {"novelty": 4500}
    found = variant_results(outcomes(lost, {"control": 0.10, "novelty": 0.20, "challenger": 0.10}), novelty)
    assert all(one.mismatch and one.split_p_value < 0.01 for one in found)
    assert [one.verdict for one in found] == ["baseline", "undecided", "undecided"]


def test_more_variants_widen_each_interval() -> None:
    frame = outcomes({"v0": 3000, "v1": 3000, "v2": 3000}, dict.fromkeys(("v0", "v1", "v2"), 0.1))
    two = variant_results(frame, of_shares(0.3, 0.3).by_name["test"])[1].difference
    three = variant_results(frame, of_shares(0.3, 0.3, 0.3).by_name["test"])[1].difference
    assert three.value == two.value
    assert three.high - three.low > two.high - two.low


def test_before_anybody_came_all_is_open_and_still_json(novelty: Experiment) -> None:
    nobody = outcomes({}, {})
    found = variant_results(nobody, novelty)
    assert [(one.users, one.verdict) for one in found[1:]] == [(0, "undecided")] * 2
    assert (found[1].difference.low, found[1].difference.high) == (-1, 1)
    json.dumps([asdict(one) for one in found], allow_nan=False)
    with pytest.raises(MissingColumnError, match="outcomes: column 'variant'"):
        variant_results(nobody.drop(columns="variant"), novelty)
