"""The cost frontier of retraining: regret against retrains and CPU seconds, beside the best plans in hindsight."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from monitoring.simulation.replay import Replay, ReplayResult
from tierrec_core.base.contracts import FloatArray

TARGET_SHARE = 0.6  # of the monthly schedule's retrains and CPU seconds, at no more regret


def hindsight_regrets(replay: Replay) -> list[float]:
    """The least regret of any plan with 0, 1, 2, ... retrains, as `ndcg_loss` measures it, [ticks + 1]."""
    cuts, ticks = [replay.clock.start, *replay.clock.ticks], replay.clock.ticks
    total = np.full((len(cuts), len(ticks)), -np.inf)
    for column, tick in enumerate(ticks):
        for row, cut in enumerate(cuts[: column + 2]):
            total[row, column] = replay.quality(cut, tick).ndcg.sum()
    num_lists = sum(len(replay.quality(tick, tick).users) for tick in ticks)
    return [loss / num_lists for loss in least_losses(total.diagonal(-1) - total)]


def least_losses(loss: FloatArray) -> list[float]:
    """Least total loss by number of retrains, [T + 1], by dynamic programming over ticks.

    loss: of a model trained at the start (row 0) or at tick j (row j + 1), while it is in force from a tick to the next
        [T + 1, T]; infinite before it is trained
    """
    num_ticks = loss.shape[1]
    least = np.full((num_ticks + 1, num_ticks + 1), np.inf)  # by the model in force and the retrains so far
    least[0, 0] = 0.0
    for tick in range(num_ticks):
        least[tick + 1, 1:] = least[: tick + 1, :-1].min(axis=0)
        least += loss[:, tick, None]
    return [float(value) for value in least.min(axis=0)]


def reaction_looks(result: ReplayResult, start: float) -> int | None:
    """Looks from a change to the first retrain after it, 1 for the next look; None without one."""
    after = [step.decision.retrain for step in result.steps if step.decision.end > start]
    return after.index(True) + 1 if True in after else None


def frontier_figures(replay: Replay, results: Mapping[str, ReplayResult], suffix: str, start: float) -> dict[str, Any]:
    """The hindsight line, and how soon each policy retrained after the change on day `start`."""
    regrets = [round(regret, 6) for regret in hindsight_regrets(replay)]
    reactions = {f"{name}_reaction{suffix}": reaction_looks(result, start) for name, result in results.items()}
    return {f"hindsight_regrets{suffix}": regrets} | reactions


def target_sentence(figures: Mapping[str, Any], suffix: str) -> str:
    """Whether the platform's policy met the target against the monthly schedule, and whether any plan could."""
    ours, monthly = (
        {key: figures[f"{name}_{key}{suffix}"] for key in ("retrains", "cpu_seconds", "regret")}
        for name in ("ours", "monthly")
    )
    allowed = int(TARGET_SHARE * monthly["retrains"])
    is_met = ours["regret"] <= monthly["regret"] and all(
        ours[key] <= TARGET_SHARE * monthly[key] for key in ("retrains", "cpu_seconds")
    )
    least = figures[f"hindsight_regrets{suffix}"][allowed]
    bound = "" if least <= monthly["regret"] else ": no choice of days reaches the target"
    return (
        f"Target, regret not above that of `monthly`, {monthly['regret']:.5f}, at {TARGET_SHARE:.0%} of its retrains "
        f"and CPU seconds: {'met' if is_met else 'missed'} ({ours['regret']:.5f}, {ours['retrains']} of "
        f"{monthly['retrains']} retrains, {ours['cpu_seconds']:.0f} of {monthly['cpu_seconds']:.0f} CPU seconds). With "
        f"{allowed} retrains the least regret of any plan, chosen in hindsight, is {least:.5f}{bound}."
    )
