"""Settings of drift monitoring, the promotion gate and the rollout."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tierrec_core.base.params import Params, Share

FaultKind = Literal[
    "empty",
    "stale",
    "missing_days",
    "unlabelled",
    "collapse",
    "lost_events",
    "duplicates",
    "near_duplicates",
    "event_ratio",
    "bots",
    "taxonomy",
    "relisting",
    "price",
    "lost_category",
    "lost_channel",
    "clock",
    "rekeyed_users",
    "lost_users",
]


class MonitorSettings(Params):
    """Options of drift detection.

    window_days: length of the reference window and of the current window
    lateness_hours: time after its end when a window counts as complete, to wait for late events
    num_categories: number of the largest categories that are tested separately; the rest are tested as one
    level: false discovery rate over all tests (Benjamini & Hochberg, 1995)
    permutations: random sign flips over users for each p-value
    quantile: an effect must exceed this quantile of the effects between past_windows pairs of past windows,
        past_step_days apart
    cooldown_days: minimum time between retrains; retrains_a_week: limit; both in days of the log
    max_silence_hours: the feed is stale when its newest event is older than this by the clock; None disables the check
    max_user_share: a user with more than this share of a window's events is treated as a bot
    accepted_faults: kinds of faults of the feed that are intended, such as a new taxonomy, until the next retrain
    report_rows: rows sampled from each window for the page of charts
    """

    window_days: PositiveFloat = 28.0
    lateness_hours: Annotated[float, Field(ge=0)] = 24.0
    num_categories: PositiveInt = 30
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    permutations: PositiveInt = 9_999
    quantile: Share = 0.95
    past_windows: PositiveInt = 12
    past_step_days: PositiveFloat = 7.0
    cooldown_days: Annotated[float, Field(ge=0)] = 7.0
    retrains_a_week: PositiveInt = 2
    max_silence_hours: PositiveFloat | None = None
    max_user_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    accepted_faults: tuple[FaultKind, ...] = ()
    report_rows: PositiveInt = 20_000


class RetrainSettings(Params):
    """When a retrain pays.

    worth: what a retrain is worth, in NDCG@10 of the mean user times days. One starts when more is surely lost since
        the champion's training, or a later retrain that left it in place, and on a drift alarm unless less surely
        is. The default is 1% of an NDCG of .35, a loss that the gate tolerates, for two weeks; raise it where training
        is dear
    """

    worth: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05


class GateSettings(Params):
    """Limits for replacing the champion. Margins are shares of the champion's NDCG at the first cutoff.

    margin, tier_margin, task_margin: largest loss at the lower end of the paired interval: overall on the first task,
        in each tier, and on each further task
    max_coverage_loss: relative; max_calibration_error: of the churn risk; max_latency_ratio: of p95 response times
    """

    margin: Share = 0.01
    tier_margin: Share = 0.05
    task_margin: Share = 0.05
    max_coverage_loss: Share = 0.25
    max_calibration_error: Share = 0.1
    max_latency_ratio: PositiveFloat = 2.0
    latency_users: PositiveInt = 50
    bootstraps: PositiveInt = 1000


class RolloutSettings(Params):
    """How a challenger that passed the gate replaces the champion.

    share: share of users that the challenger serves at first
    approval: whether it must be approved before it serves users
    goal: the event that counts as success within horizon_hours of an impression
    min_users: users needed on each side before a decision
    expected_users: number of users at which the always-valid interval is tightest
    margin: relative loss of the success rate that is tolerated
    max_hours: time after which the challenger is promoted unless it is worse; 0 promotes on deployment
    without_traffic: what happens then if either side had fewer than min_users: hold waits for them or for a person
    check_minutes: interval between checks
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    approval: Literal["none", "required"] = "none"
    goal: Literal["purchase", "click", "cart"] = "purchase"
    horizon_hours: PositiveFloat = 72.0
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_users: PositiveInt = 100
    expected_users: PositiveInt = 5_000
    margin: Share = 0.1
    max_hours: Annotated[float, Field(ge=0)] = 72.0
    without_traffic: Literal["hold", "promote"] = "hold"
    check_minutes: PositiveFloat = 10.0
