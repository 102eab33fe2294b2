"""The contest: two bundles rank for the same users, and what these then did tells which was right."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import Event, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError, GateError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.data.interactions import Interactions, from_days, to_days
from tierrec_core.evaluation.metrics import Truth, coverage, per_user
from tierrec_core.evaluation.promotion_gate import GateReport, GateSide, Scores, judge
from tierrec_core.settings import GateSettings
from tierrec_core.tiers import TIER_NAMES

_BATCH = 512


@dataclass(frozen=True)
class ModelComparison:
    """What the gate judges: tasks, the main one first; champion and challenger beyond accuracy; name of the metric."""

    tasks: Mapping[str, Scores]
    champion: GateSide
    challenger: GateSide
    metric: str

    def judge(self, settings: GateSettings, rng: np.random.Generator) -> GateReport:
        """What the gate says of it."""
        return judge(
            self.tasks, self.champion, self.challenger, settings, rng, metric=self.metric, tiers=TIER_NAMES
        )


def contest(
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
    served: Mapping[str, pd.DataFrame] | None = None,
) -> ModelComparison:
    """Let both rank as of `start`, for everybody with a history then, and look at what happened up to `until`.

    start, until: in days since 1970 UTC; events: prepared EVENTS, before and after
    main: the task that decides, judged first; cutoff: of NDCG and coverage
    calibration: error of the churn risk of champion and challenger
    served: lists that the champion showed, by task, which are judged instead of what it would show: see frozen_lists
    Both get the same fresh histories. The truth is over the items that either knows; where a task shows nothing twice,
    what was met before start is no truth. Tiers are the challenger's. Raises GateError when a side has seen the window
    or does not answer the main task, EmptyDataError when nobody did anything in it.
    """
    _require_unseen(champion, challenger, start)
    tasks = list(_tasks(champion, challenger, main))
    world = _World.of(_catalogue(champion, challenger), events, start, until)
    sides = _Entrant.of(champion, world, events, served or {}), _Entrant.of(challenger, world, events, {})
    truths = _truths(world, challenger, tasks)
    if main not in truths:
        raise EmptyDataError(
            f"contest: task {main!r} has no {'/'.join(challenger.target)} event of a user with a history in "
            f"{from_days(start):%Y-%m-%d} to {from_days(until):%Y-%m-%d}, wanted some to judge by; "
            "bring more events or take a longer window"
        )
    lists = [
        {task: side.lists(task, truth.users, cutoff) for task, truth in truths.items()} for side in sides
    ]
    before, after = (_ndcg(truths, mine, cutoff) for mine in lists)
    scores = {
        task: Scores(before[task], after[task], sides[1].tiers(task, truth.users))
        for task, truth in truths.items()
    }
    shown = [_coverage(truths, mine, cutoff) for mine in lists]
    shown[0] |= {task: 0.0 for task in champion.tasks if task not in challenger.tasks}
    asked = np.random.default_rng(seed).permutation(world.active)[: settings.latency_users]
    facts = zip(shown, calibration, _latency(sides, main, asked, cutoff), strict=True)
    first, second = (GateSide(*one) for one in facts)
    return ModelComparison(scores, first, second, f"NDCG@{cutoff}")


def frozen_lists(bundle: Bundle, task: str, k: int) -> pd.DataFrame:
    """What a bundle shows its known users as long as it hears nothing new: user_id, item_id, rank from 1."""
    history = bundle.history
    items = _ranked(bundle, task, history, np.arange(history.num_users), k)
    row, place = np.nonzero(items >= 0)
    return pd.DataFrame(
        {
            "user_id": history.users[row],
            "item_id": history.items[items[row, place]],
            "rank": (place + 1).astype(np.int32),
        }
    )


@dataclass(frozen=True)
class _World:
    """What both sides are asked about: users with a history, and the items that either knows.

    past, future: before start, and from start to before the end; rows and columns are the same
    """

    past: Interactions
    future: Interactions

    @classmethod
    def of(cls, items: pd.Index, events: pd.DataFrame, start: float, until: float) -> "_World":
        """Impressions are no behaviour, and nobody is asked about without a history."""
        events = events[(events["event"] != Event.IMPRESSION) & events["item_id"].isin(items)]
        early = to_days(events["timestamp"]) < start
        users = pd.Index(sorted(events.loc[early, "user_id"].astype(str).unique()), dtype=object)
        log = Interactions.from_events(events, users=users, items=items, now=until)
        return cls(log.before(start), log.where((log.day >= start) & (log.day < until)))

    @property
    def active(self) -> IntArray:
        """Rows of the users who did anything in the window."""
        return np.unique(self.future.user)

    def truth(self, target: Sequence[str], *, repeats: bool) -> Truth | None:
        """What was to be found; None where there is nothing."""
        user, item = self.future.filter_events(*target).unique_pairs()
        if not repeats:
            num_items = self.past.num_items
            met_user, met_item = self.past.unique_pairs()
            new = ~np.isin(user * num_items + item, met_user * num_items + met_item)
            user, item = user[new], item[new]
        return Truth.of(user, item, self.past.num_items) if len(user) else None

    def columns(self, lists: pd.DataFrame, k: int) -> IntArray:
        """Lists of user_id, item_id and rank as item columns, [U, k]; whoever has no list gets -1."""
        table = np.full((self.past.num_users, k), -1, np.int64)
        user = self.past.users.get_indexer(pd.Index(lists["user_id"].astype(object)))
        item = self.past.items.get_indexer(pd.Index(lists["item_id"].astype(object)))
        rank = lists["rank"].to_numpy(dtype=np.int64)
        keep = (user >= 0) & (rank <= k)
        table[user[keep], rank[keep] - 1] = item[keep]
        return table


@dataclass(frozen=True)
class _Entrant:
    """One side: its bundle, everybody's history over its own catalogue, and which of all items each of its columns is.

    columns: [I]; served: lists that are there already, by task
    """

    bundle: Bundle
    world: _World
    history: Interactions
    columns: IntArray
    served: Mapping[str, pd.DataFrame]

    @classmethod
    def of(
        cls, bundle: Bundle, world: _World, events: pd.DataFrame, served: Mapping[str, pd.DataFrame]
    ) -> "_Entrant":
        """Tell it what happened before start; what its catalogue lacks it does not hear of."""
        known, past = bundle.history.items, world.past
        early = (to_days(events["timestamp"]) < past.now) & (events["event"] != Event.IMPRESSION)
        history = Interactions.from_events(events[early], users=past.users, items=known, now=past.now)
        return cls(bundle, world, history, past.items.get_indexer(known), served)

    def lists(self, task: str, users: IntArray, k: int) -> IntArray:
        """Its lists for these rows, as columns of all items, [U, k]; -1 elsewhere."""
        if task in self.served:
            return self.world.columns(self.served[task], k)
        own = _ranked(self.bundle, task, self.history, users, k)
        table = np.full((self.history.num_users, k), -1, np.int64)
        table[users] = np.where(own >= 0, self.columns[own], -1)
        return table

    def tiers(self, task: str, users: IntArray) -> IntArray:
        """The tier of each of these rows, [E]."""
        return self.bundle.blends[task].context.tiering.assign(self.history.select_users(users))

    def answer(self, task: str, user: int, k: int) -> float:
        """Seconds that one user's list takes."""
        history = self.history.select_users(np.array([user]))
        begun = time.perf_counter()
        self.bundle.recommend(task, history, k)
        return time.perf_counter() - begun


def _catalogue(champion: Bundle, challenger: Bundle) -> pd.Index:
    """The ids of all items that either side knows."""
    return pd.Index(sorted({*champion.history.items, *challenger.history.items}), dtype=object)


def _tasks(champion: Bundle, challenger: Bundle, main: str) -> Iterator[str]:
    """The tasks that both answer, the main one first."""
    for name, bundle in (("champion", champion), ("challenger", challenger)):
        if main not in bundle.tasks:
            raise GateError(
                f"contest: the {name} answers {', '.join(bundle.tasks)}, wanted {main!r} to judge by; "
                "name a task of both in package.task of params.yaml"
            )
    yield main
    yield from (task for task in challenger.tasks if task in champion.tasks and task != main)


def _require_unseen(champion: Bundle, challenger: Bundle, start: float) -> None:
    for name, bundle in (("champion", champion), ("challenger", challenger)):
        if bundle.history.now > start:
            raise GateError(
                f"contest: the {name} has seen everything before {from_days(bundle.history.now):%Y-%m-%d %H:%M}, "
                f"the window begins at {from_days(start):%Y-%m-%d %H:%M}; wanted a window that neither saw, "
                "begin later or train on less"
            )


def _truths(world: _World, challenger: Bundle, tasks: Sequence[str]) -> dict[str, Truth]:
    """What was to be found, by task; tasks without any are left out."""
    found = {
        task: world.truth(challenger.target, repeats=challenger.surfaces[task].repeats) for task in tasks
    }
    return {task: truth for task, truth in found.items() if truth is not None}


def _ndcg(truths: Mapping[str, Truth], lists: Mapping[str, IntArray], cutoff: int) -> dict[str, FloatArray]:
    """Of one side's lists [U, k], for each user with a truth, by task, [E] each."""
    return {task: per_user(lists[task], truth, cutoff)["ndcg"] for task, truth in truths.items()}


def _coverage(truths: Mapping[str, Truth], lists: Mapping[str, IntArray], cutoff: int) -> dict[str, float]:
    """The share of all items that one side shows, by task."""
    return {
        task: coverage(lists[task][truth.users], truth.num_items, cutoff) for task, truth in truths.items()
    }


def _ranked(bundle: Bundle, task: str, history: Interactions, users: IntArray, k: int) -> IntArray:
    """The bundle's lists for these rows, in batches that bound the memory, as its own columns, [E, k]."""
    parts = [
        bundle.recommend(task, history.select_users(users[place : place + _BATCH]), k).items
        for place in range(0, len(users), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, k), np.int32)


def _latency(sides: Sequence[_Entrant], task: str, users: IntArray, k: int) -> list[float]:
    """The p95 of answering one user, of each side, in seconds.

    The sides take turns, and turns in going first, so that what disturbs the machine disturbs both; the first user
    warms up.
    """
    taken = np.zeros((len(users), len(sides)))
    for side in sides:
        side.answer(task, int(users[0]), k)
    for place, user in enumerate(users):
        for turn in (0, 1) if place % 2 else (1, 0):
            taken[place, turn] = sides[turn].answer(task, int(user), k)
    return [float(one) for one in np.quantile(taken, 0.95, axis=0)]
