"""When interests count as moved, when a new model counts as better, and how it takes over."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tierrec_core.base.params import Params, Share


class MonitorSettings(Params):
    """When users' interests count as moved.

    window_days: how long the reference and the current window are
    lateness_hours: how long after its end a window counts as complete, for events that come late
    num_categories: how many categories are told apart; the rest are one
    level: false discovery rate over all tests (Benjamini & Hochberg, 1995)
    permutations: random sign flips of users for each p-value
    quantile: an effect must exceed this quantile of the effects between past windows, which lie past_step_days apart
    cooldown_days, retrains_a_week: after an alarm, and in seven days, no more retrains than this; days of the log
    max_silence_hours: the feed is stale when the newest event is older than this by the clock; unset, nobody looks
    max_user_share: one user with more than this share of a window's events is no person
    report_rows: how many rows of each window are drawn for the page of charts
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
    report_rows: PositiveInt = 20_000


class GateSettings(Params):
    """When a challenger may replace the champion; margins are shares of the champion's NDCG at the first cutoff.

    margin, tier_margin, task_margin: how much worse the lower end of the paired interval may be: overall on the first
    task, in each tier, and on each further task
    max_coverage_loss: relative; max_calibration_error: of the churn risk; max_latency_ratio: p95 of answering
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
    """How a challenger that passed the gate takes over.

    share: of the users, who are answered by it at first
    approval: whether a person must say yes before it answers anybody
    goal: what counts as success within horizon_hours of a list being shown
    min_users: on each side, before the figures are looked at
    expected_users: where the always-valid interval is tightest
    margin: a relative loss of the success rate that is still no worse
    max_hours: after that it is promoted unless it is worse; 0 promotes as soon as it is deployed
    check_minutes: how often the figures are looked at
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
    check_minutes: PositiveFloat = 10.0
