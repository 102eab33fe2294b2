"""Effect sizes equal the textbooks', and a family's limit comes from its own past."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from monitoring.drift.statistics import effect_limits
from monitoring.drift.statistics.paired_tests import PairedComparison, cohens_h, whitening_matrix

RNG = np.random.default_rng(1)


def comparison(kind: str, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> PairedComparison:
    names = tuple(f"c{number}" for number in range(before.shape[1]))
    return PairedComparison("shares", names, before, after, weight, kind)  # type: ignore[arg-type]


def test_cohens_h_equals_the_book() -> None:
    # Cohen (1988), table 6.2.2: phi = 1.571 for .50, 1.772 for .60, .927 for .20
    found = cohens_h(np.array([0.5, 0.5]), np.array([0.6, 0.2]))
    np.testing.assert_allclose(found, [1.772 - 1.571, 0.927 - 1.571], atol=0.001)


def test_a_share_effect_is_that_of_the_weighted_means() -> None:
    before, after = RNG.dirichlet([1, 2, 3], 40), RNG.dirichlet([2, 2, 2], 40)
    weight = RNG.integers(0, 5, 40).astype(float)
    one = comparison("share", before, after, weight)
    p, q = np.average(before, axis=0, weights=weight), np.average(after, axis=0, weights=weight)
    np.testing.assert_allclose(one.effects(), cohens_h(p, q))


def test_a_vector_effect_is_the_mahalanobis_distance_of_the_means() -> None:
    before = RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 3))
    after = before + RNG.normal(0.3, 0.2, size=(200, 3))
    weight = RNG.uniform(0.5, 2.0, 200)
    middle = (before + after) / 2
    covariance = np.cov(middle.T, aweights=weight, ddof=0)
    means = [np.average(side, axis=0, weights=weight) for side in (before, after)]
    wanted = mahalanobis(*means, np.linalg.inv(covariance))
    assert comparison("vector", before, after, weight).effects()[0] == pytest.approx(wanted)


def test_whitening_makes_the_covariance_the_identity() -> None:
    values = RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 4))
    white = values @ whitening_matrix(values, np.ones(300))
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(4), atol=1e-8)


@pytest.mark.parametrize("kind", ["share", "level"])
def test_swapped_windows_flip_every_sign(kind: str) -> None:
    before, after, weight = RNG.uniform(size=(30, 2)), RNG.uniform(size=(30, 2)), RNG.uniform(size=30)
    one, other = comparison(kind, before, after, weight), comparison(kind, after, before, weight)
    everyone = np.ones(30, bool)
    np.testing.assert_allclose(one.effects(), -other.effects())
    np.testing.assert_allclose(
        one.comparison_family(everyone).differences, -other.comparison_family(everyone).differences
    )


def test_a_user_outside_the_group_has_no_difference() -> None:
    before, after = RNG.uniform(size=(6, 2)), RNG.uniform(size=(6, 2))
    members = np.array([1, 0, 1, 0, 0, 1], bool)
    family = comparison("share", before, after, np.ones(6)).comparison_family(members)
    np.testing.assert_array_equal(family.differences[~members], 0.0)
    np.testing.assert_allclose(family.differences[members], (after - before)[members])


def test_the_limit_of_one_effect_is_the_quantile_of_its_past() -> None:
    past = [np.array([value]) for value in RNG.normal(0, 0.2, 40)]
    found = effect_limits.effect_threshold("volume", past, 1, 0.95, side=0)
    assert found[0] == pytest.approx(np.quantile(np.abs(past), 0.95))


def test_only_effects_of_the_side_that_counts_make_the_limit() -> None:
    past = [np.array([-0.5])] * 10 + [np.array([0.1])] * 10
    assert effect_limits.effect_threshold("moves", past, 1, 1.0, side=1)[0] == pytest.approx(0.1)


def test_a_category_with_seasons_does_not_raise_the_limit_of_a_steady_one() -> None:
    steady, seasonal = RNG.normal(0, 0.03, 200), RNG.normal(0, 0.3, 200)
    both = list(np.stack([steady, seasonal], axis=1))
    limit = effect_limits.effect_threshold("shares", both, 2, 0.95, side=0)
    assert limit[0] < 0.15 < 0.5 < limit[1]
    exceeded = (np.abs(both) > limit).any(axis=1).mean()
    assert exceeded == pytest.approx(0.05, abs=0.006)


def test_the_usual_size_of_a_rare_effect_is_shrunk_towards_that_of_all() -> None:
    effects = np.zeros((3, 4))
    effects[:, 0] = 0.1
    size = effect_limits.shrunken_rms(effects)
    assert 0.0 < size[1] < size[0] < 0.1
    assert effect_limits.shrunken_rms(np.tile(effects, (500, 1)))[1] < size[1] / 5


@pytest.mark.parametrize("family", sorted(effect_limits.BOUNDS))
def test_a_log_without_a_past_has_the_default_and_a_quiet_one_the_lower_bound(family: str) -> None:
    least, default = effect_limits.BOUNDS[family]
    assert effect_limits.effect_threshold(family, [np.zeros(3)] * 2, 3, 0.95, side=0).tolist() == [default] * 3
    assert effect_limits.effect_threshold(family, [np.zeros(3)] * 20, 3, 0.95, side=0).tolist() == [least] * 3


def test_all_limits_together_are_passed_by_no_more_of_the_past_than_wanted() -> None:
    pairs = [{f"family {number}": RNG.normal(0, 1.0 + number, 3) for number in range(40)} for _ in range(200)]
    sides = {key: (0, 1, -1)[number % 3] for number, key in enumerate(pairs[0])}
    alone = {
        key: effect_limits.effect_threshold("volume", [one[key] for one in pairs], 3, 0.95, side)
        for key, side in sides.items()
    }

    def passed(limits: dict[str, np.ndarray]) -> float:
        beyond = [
            any((effect_limits.one_sided(one[key], sides[key]) > limits[key]).any() for key in limits) for one in pairs
        ]
        return float(np.mean(beyond))

    together = effect_limits.scale_thresholds(alone, pairs, sides, 0.95)
    assert passed(alone) > 0.5
    assert passed(together) == pytest.approx(0.05)
    assert all(np.ptp(together[key] / alone[key]) < 1e-12 for key in alone)
