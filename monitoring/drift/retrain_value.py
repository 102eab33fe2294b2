"""What the champion has lost since its training, by the canary's results, against what a retrain is worth."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from monitoring.drift.canary import WIDTH, CanaryResult
from tierrec_core.data.interactions import from_days
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

_MAX_STEP = 28.0  # days of the log that one result stands for at most


@dataclass(frozen=True)
class RetrainValue:
    """The newest canary, and the loss up to it in NDCG@10 times days of the mean user; None if it measured nothing.

    retrained: day of the last retrain that left the champion in place, from which the loss counts; None without one

    Where the loss grows evenly, retrains cost least together with what is lost when each starts as the loss since the
    last one reaches `worth`, the cost of a retrain. Whatever the loss does, that rule costs at most twice as much as
    the best plan in hindsight, as in the ski rental problem (Karlin et al., 1988).
    """

    canary: CanaryResult
    loss: ConfidenceInterval | None
    worth: float
    retrained: float | None = None

    @classmethod
    def of(
        cls, canary: CanaryResult, earlier: Iterable[CanaryResult], worth: float, retrained: float | None = None
    ) -> Self:
        """Add the canary to earlier results, of which only those of the same champion since `retrained` count."""
        since = -math.inf if retrained is None else retrained
        before = [one for one in earlier if one.cut == canary.cut and since < one.end < canary.end]
        return cls(canary, _total_loss([*before, canary], retrained) if canary.gain else None, worth, retrained)

    @property
    def pays(self) -> bool:
        """Whether more than the worth of a retrain is surely lost."""
        return self.loss is not None and self.loss.low > self.worth

    @property
    def cannot_pay(self) -> bool:
        """Whether surely less is lost, so that a drift alarm is no reason for a retrain either."""
        return self.loss is not None and self.loss.high <= self.worth

    def sentence(self) -> str:
        """What a retrain would gain, in one line."""
        gain, loss = self.canary.gain, self.loss
        if gain is None or loss is None:
            return f"what a retrain would gain is not known: {self.canary.reason}"
        start = "training" if self.retrained is None else f"retrain of {from_days(self.retrained):%Y-%m-%d}"
        return (
            f"without a retrain {loss.value:.3f} [{loss.low:.3f}, {loss.high:.3f}] NDCG@10 x days are lost since the "
            f"{start}, {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] a day in the last week, against a model "
            f"trained up to {from_days(self.canary.newer):%Y-%m-%d} ({self.canary.num_users:,} users); "
            f"a retrain is worth {self.worth:g}"
        )


def _total_loss(results: Iterable[CanaryResult], previous: float | None) -> ConfidenceInterval:
    """Sum over the results of one champion: each stands for the days since the one before it.

    The first stands for the days since `previous` or, without it, for those by which its model is newer, since a
    retrain could not have been made earlier. A sum below 0 starts anew (CUSUM; Page, 1954): what was not lost before a
    shift is no argument after it.

    Errors of weeks that do not overlap are taken as independent: users' own deviations widen the interval by a tenth.
    """
    total = variance = 0.0
    for result in sorted(results, key=lambda one: one.end):
        if result.gain is None or result.end == previous:
            continue
        days = min(result.newer - result.cut if previous is None else result.end - previous, _MAX_STEP)
        if total < 0:
            total = variance = 0.0
        total += days * result.gain.value
        variance += days * max(days, WIDTH) * ((result.gain.high - result.gain.low) / 2) ** 2
        previous = result.end
    return ConfidenceInterval(total, total - variance**0.5, total + variance**0.5)
