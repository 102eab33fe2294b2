"""The chart of retrain policies: cheaper is left of dearer, and more regret above less."""

from monitoring.report.policy_chart import HEIGHT, WIDTH, policy_points
from monitoring.simulation.policy_costs import PolicyCost
from tierrec_core.evaluation.bootstrap import ConfidenceInterval


def cost(policy: str, seconds: float, regret: float) -> PolicyCost:
    return PolicyCost(policy, 1, seconds, 0.3, ConfidenceInterval(regret, regret, regret), efficient=regret <= 0)


def test_points_are_in_the_chart_and_in_the_order_of_their_figures() -> None:
    points = policy_points([cost("never", 0.0, 0.02), cost("ours", 5.0, -0.001), cost("always", 20.0, 0.0)])
    assert [point.policy for point in sorted(points, key=lambda point: point.x)] == ["never", "ours", "always"]
    assert [point.policy for point in sorted(points, key=lambda point: point.y)] == ["never", "always", "ours"]
    assert all(0 < point.x < WIDTH and 0 < point.y < HEIGHT for point in points)
    assert [point.efficient for point in points] == [False, True, True]


def test_a_replay_without_costs_or_regret_has_a_chart() -> None:
    (point,) = policy_points([cost("never", 0.0, 0.0)])
    assert (0 < point.x < WIDTH, 0 < point.y < HEIGHT) == (True, True)
    assert policy_points([]) == []
