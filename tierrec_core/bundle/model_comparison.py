"""Compares two bundles on the same users: both rank as of one moment, and the later events are the truth."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import Event, IntArray
from tierrec_core.base.errors import EmptyDataError, GateError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.data.interactions import Interactions, from_days, to_days
from tierrec_core.evaluation.metrics import Truth, coverage, per_user
from tierrec_core.evaluation.promotion_gate import GateReport, GateSide, Scores, check_promotion
from tierrec_core.settings import GateSettings

_BATCH = 512


@dataclass(frozen=True)
class ModelComparison:
    """Input of the promotion gate: scores by task, main task first; figures of both sides; the metric's name."""

    tasks: Mapping[str, Scores]
    champion: GateSide
    challenger: GateSide
    metric: str

    def check(self, settings: GateSettings, rng: np.random.Generator) -> GateReport:
        """Apply the promotion gate."""
        return check_promotion(self.tasks, self.champion, self.challenger, settings, rng, metric=self.metric)


def compare_models(
    champion: Bundle,
    challenger: Bundle,
    events: pd.DataFrame,
    start: float,
    until: float,
    settings: GateSettings,
    *,
    main: str,
    seed: int,
    cutoff: int = 10,
    calibration: tuple[float | None, float | None] = (None, None),
) -> ModelComparison:
    """Rank as of `start` with both bundles, for all users with a history, and score on events up to `until`.

    start, until: in days since 1970 UTC; events: prepared EVENTS, before and after
    main: the task that decides the verdict; cutoff: of NDCG and coverage
    calibration: error of the churn risk of champion and challenger
    Both get the same fresh histories. The truth covers the items of either bundle; for a task without
    repeats, items seen before start are excluded. Tiers are the challenger's. Raises GateError when a bundle was
    trained on the window or lacks the main task, EmptyDataError when the window has no target event.
    """
    _require_unseen(champion, challenger, start)
    tasks = _common_tasks(champion, challenger, main)
    window = _Window.of(champion, challenger, events, start, until)
    sides = [_Contender.of(bundle, window, events) for bundle in (champion, challenger)]
    truth_of = {task: window.truth(challenger.target, repeats=challenger.task_configs[task].repeats) for task in tasks}
    truths = {task: truth for task, truth in truth_of.items() if truth is not None}
    if main not in truths:
        raise EmptyDataError(
            f"model comparison: task {main!r} has no {'/'.join(challenger.target)} event of a user with a history in "
            f"{from_days(start):%Y-%m-%d} to {from_days(until):%Y-%m-%d}, wanted at least one; "
            "add events or choose a longer window"
        )
    lists = [{task: side.lists(task, truth.users, cutoff) for task, truth in truths.items()} for side in sides]
    scores = {
        task: Scores(
            per_user(lists[0][task], truth, cutoff)["ndcg"],
            per_user(lists[1][task], truth, cutoff)["ndcg"],
            challenger.tiering.assign(sides[1].history.select_users(truth.users)),
            challenger.tiering.names,
        )
        for task, truth in truths.items()
    }
    coverages = [
        {task: coverage(side_lists[task][truth.users], truth.num_items, cutoff) for task, truth in truths.items()}
        for side_lists in lists
    ]
    coverages[0] |= {task: 0.0 for task in champion.tasks if task not in challenger.tasks}
    timed_users = np.random.default_rng(seed).permutation(np.unique(window.future.user))[: settings.latency_users]
    latencies = _latency(sides, main, timed_users, cutoff)
    first, second = (GateSide(*figures) for figures in zip(coverages, calibration, latencies, strict=True))
    return ModelComparison(scores, first, second, f"NDCG@{cutoff}")


@dataclass(frozen=True)
class _Window:
    """Users with a history before the window, over the items of either bundle.

    past, future: events before the window and within it; rows and columns are the same
    """

    past: Interactions
    future: Interactions

    @classmethod
    def of(cls, champion: Bundle, challenger: Bundle, events: pd.DataFrame, start: float, until: float) -> Self:
        """Split the log at start, without impressions and without users without history."""
        items = pd.Index(sorted({*champion.history.items, *challenger.history.items}), dtype=object)
        events = events[(events["event"] != Event.IMPRESSION) & events["item_id"].isin(items)]
        early = to_days(events["timestamp"]) < start
        users = pd.Index(sorted(events.loc[early, "user_id"].astype(str).unique()), dtype=object)
        log = Interactions.from_events(events, users=users, items=items, now=until)
        return cls(log.before(start), log.where((log.day >= start) & (log.day < until)))

    def truth(self, target: Sequence[str], *, repeats: bool) -> Truth | None:
        """The target events' pairs, without seen items unless repeats are allowed; None if there is no pair."""
        user, item = self.future.filter_events(*target).unique_pairs()
        if not repeats:
            num_items = self.past.num_items
            seen_user, seen_item = self.past.unique_pairs()
            new = ~np.isin(user * num_items + item, seen_user * num_items + seen_item)
            user, item = user[new], item[new]
        return Truth.of(user, item, self.past.num_items) if len(user) else None


@dataclass(frozen=True)
class _Contender:
    """One bundle with the window's histories over its catalogue.

    columns: the window's column of each of the bundle's items, [I]
    """

    bundle: Bundle
    history: Interactions
    columns: IntArray

    @classmethod
    def of(cls, bundle: Bundle, window: _Window, events: pd.DataFrame) -> Self:
        """Build the histories before the window; items outside the bundle's catalogue are dropped."""
        items, past = bundle.history.items, window.past
        early = (to_days(events["timestamp"]) < past.now) & (events["event"] != Event.IMPRESSION)
        history = Interactions.from_events(events[early], users=past.users, items=items, now=past.now)
        return cls(bundle, history, past.items.get_indexer(items))

    def lists(self, task: str, users: IntArray, k: int) -> IntArray:
        """Lists for these rows as the window's columns, [U, k], computed in batches; -1 for other rows."""
        table = np.full((self.history.num_users, k), -1, np.int64)
        for start in range(0, len(users), _BATCH):
            rows = users[start : start + _BATCH]
            items = self.bundle.recommend(task, self.history.select_users(rows), k).items
            table[rows] = np.where(items >= 0, self.columns[items], -1)
        return table

    def time_request(self, task: str, user: int, k: int) -> float:
        """Seconds to rank for one user."""
        history = self.history.select_users(np.array([user]))
        started = time.perf_counter()
        self.bundle.recommend(task, history, k)
        return time.perf_counter() - started


def _common_tasks(champion: Bundle, challenger: Bundle, main: str) -> list[str]:
    """The tasks of both bundles, the main one first."""
    for name, bundle in (("champion", champion), ("challenger", challenger)):
        if main not in bundle.tasks:
            raise GateError(
                f"model comparison: the {name} has the tasks {', '.join(bundle.tasks)}, wanted {main!r} too; "
                "set package.task in params.yaml to a task of both"
            )
    return [main, *(task for task in challenger.tasks if task in champion.tasks and task != main)]


def _require_unseen(champion: Bundle, challenger: Bundle, start: float) -> None:
    for name, bundle in (("champion", champion), ("challenger", challenger)):
        if bundle.history.now > start:
            raise GateError(
                f"model comparison: the {name} was trained on events before "
                f"{from_days(bundle.history.now):%Y-%m-%d %H:%M}, the window begins at "
                f"{from_days(start):%Y-%m-%d %H:%M}; wanted a window that neither was trained on, begin later"
            )


def _latency(sides: Sequence[_Contender], task: str, users: IntArray, k: int) -> list[float]:
    """The p95 of ranking for one user, of each side, in seconds.

    The sides alternate, and so does their order, so that other load on the machine affects both; the first user is a
    warm-up.
    """
    seconds = np.zeros((len(users), len(sides)))
    for side in sides:
        side.time_request(task, int(users[0]), k)
    for index, user in enumerate(users):
        for turn in (0, 1) if index % 2 else (1, 0):
            seconds[index, turn] = sides[turn].time_request(task, int(user), k)
    return [float(p95) for p95 in np.quantile(seconds, 0.95, axis=0)]
