"""What is known when, and what it is judged on.

Every split is a line on which each event has a position. A snapshot is the world before its bound; a window
is judged on what lies between its snapshot's bound and its `until`. For a time cut the position is the day;
for leave-last-out it is the distance from the user's last event; for a given split it is 1 for test and
random in [0, 1) for train, so that each earlier window holds out another tenth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import Event, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import Interactions, from_days, to_days
from tierrec_core.settings import GivenSplit, LeaveLastOut, SplitSettings, TaskSettings, TimeSplit

_GIVEN_HOLDOUT = 0.1


@dataclass(frozen=True)
class Snapshot:
    """The world as it was known before `bound`."""

    name: str
    bound: float


@dataclass(frozen=True)
class Window:
    """One examination: what the snapshot's users do next. role is train, valid or test."""

    name: str
    task: str
    role: str
    snapshot: str
    until: float
    repeats: bool


@dataclass(frozen=True)
class SplitLog:
    """The whole log over the catalogue of its known part, with its snapshots (oldest first) and windows.

    position: where each event of the log lies on the line along which the split cuts, [N]
    """

    log: Interactions
    position: FloatArray
    snapshots: tuple[Snapshot, ...]
    windows: tuple[Window, ...]
    target: tuple[str, ...]

    @classmethod
    def cut(cls, events: pd.DataFrame, split: SplitSettings, tasks: Mapping[str, TaskSettings]) -> Self:
        """Cut prepared EVENTS. Items and users are those of the known part alone; impressions are no behaviour.

        Raises EmptyDataError when nothing is left to learn from or to be judged on.
        """
        events = events[events["event"] != Event.IMPRESSION]
        position, bound, scale = _positions(events, split)
        known = position < bound
        items = _catalogue(events[known], split.min_users_per_item)
        users = _users(events[known], items)
        row = users.get_indexer(pd.Index(events["user_id"].astype(object)))
        column = items.get_indexer(pd.Index(events["item_id"].astype(object)))
        keep = np.flatnonzero((row >= 0) & (column >= 0))
        keep = keep[np.lexsort((to_days(events["timestamp"])[keep], row[keep]))]
        log = Interactions.from_events(events.iloc[keep], users=users, items=items)
        result = cls(log, position[keep], (), (), split.target)
        windows = [
            window for name, task in tasks.items() for window in result._plan(name, task, bound, scale)
        ]
        bounds = sorted({bound for _, bound in windows})
        snapshots = tuple(Snapshot(_label(bound, split), bound) for bound in bounds)
        names = {snapshot.bound: snapshot.name for snapshot in snapshots}
        placed = tuple(replace(window, snapshot=names[bound]) for window, bound in windows)
        return replace(result, snapshots=snapshots, windows=placed)

    @property
    def final(self) -> Snapshot:
        """The newest snapshot: all that is known before the test."""
        return self.snapshots[-1]

    def history(self, snapshot: str) -> Interactions:
        """All events before the snapshot's bound; every user and item keeps its row and column."""
        bound = self._bound(snapshot)
        past = self.log.where(self.position < bound)
        latest = float(np.nextafter(past.day.max(initial=0.0), np.inf))
        return replace(past, now=max(bound, latest) if bound > 1 else latest)

    def truth(self, window: Window) -> tuple[IntArray, IntArray]:
        """The distinct (user, item) pairs to be found, [P] and [P]: target events of the window, sorted.

        Users without any known event before are left out, and, unless repeats count, pairs met before.
        """
        bound = self._bound(window.snapshot)
        future = self.log.where((self.position >= bound) & (self.position < window.until)).filter_events(
            *self.target
        )
        past = self.log.where(self.position < bound)
        user, item = future.unique_pairs()
        keep = np.diff(past.offsets)[user] > 0
        if not window.repeats:
            met = np.stack(past.unique_pairs()).T @ [self.log.num_items, 1]
            keep &= ~np.isin(user * self.log.num_items + item, met)
        return user[keep], item[keep]

    def of(self, task: str, *roles: str) -> list[Window]:
        """The task's windows of these roles, oldest first."""
        return [window for window in self.windows if window.task == task and window.role in roles]

    def is_over(self, window: Window, other: Window) -> bool:
        """Whether all that the window is judged on lies before the other's snapshot."""
        return window.until <= self._bound(other.snapshot)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of params.yaml."""
        return list(dict.fromkeys(window.task for window in self.windows))

    def _bound(self, snapshot: str) -> float:
        return next(one.bound for one in self.snapshots if one.name == snapshot)

    def _plan(
        self, name: str, task: TaskSettings, bound: float, scale: float
    ) -> Iterator[tuple[Window, float]]:
        """The windows of one task, oldest first, each with its bound. Windows without truth are left out."""
        horizon, step = (task.horizon_days, task.step_days) if scale == 0 else (scale, scale)
        roles = ["test", "valid"] + ["train"] * (task.windows - 1)
        found = []
        for back, role in enumerate(roles[: task.windows + 1]):
            start = bound - horizon - (back - 1) * step if back else bound
            window = Window(
                f"{name}-{back}" if back else f"{name}-test", name, role, "", start + horizon, task.repeats
            )
            probe = replace(self, snapshots=(Snapshot("", start),))
            if len(probe.truth(window)[0]):
                found.append((window, start))
            elif role == "test":
                raise EmptyDataError(
                    f"split: task {name!r} has no {'/'.join(self.target)} event of a known user and item "
                    f"after the cut; move split.by.cut back, raise tasks.{name}.horizon_days "
                    "or set split.target"
                )
        if len(found) == 1:
            raise EmptyDataError(
                f"split: task {name!r} has no earlier window to learn from; lower tasks.{name}.horizon_days "
                f"(now {task.horizon_days:g}) or move split.by.cut forward"
            )
        return iter(found[::-1])


def _positions(events: pd.DataFrame, split: SplitSettings) -> tuple[FloatArray, float, float]:
    """Each event's position, the test's bound, and the width of a window (0: the task's own days)."""
    match split.by:
        case TimeSplit(cut=datetime() as cut):
            moment = cut if cut.tzinfo else cut.replace(tzinfo=UTC)
            return to_days(events["timestamp"]), moment.timestamp() / 86_400, 0
        case TimeSplit(cut=share):
            day = to_days(events["timestamp"])
            return day, float(np.floor(np.quantile(day, share))), 0  # type: ignore[arg-type]
        case LeaveLastOut():
            from_end = (
                events.sort_values("timestamp", kind="stable").groupby("user_id").cumcount(ascending=False)
            )
            return -1.0 - from_end.reindex(events.index).to_numpy(dtype=float), -1.0, 1
        case GivenSplit():
            held = np.random.default_rng(0).random(len(events))
            return np.where(events["split"].eq("test").fillna(value=False), 1.0, held), 1.0, _GIVEN_HOLDOUT


def _catalogue(known: pd.DataFrame, min_users: int) -> pd.Index:
    """Items that enough users met in the known part."""
    met = known[known["event"] != Event.REDEEM]
    users = met.groupby("item_id", observed=True)["user_id"].nunique()
    items = pd.Index(sorted(users.index[users >= min_users].astype(str)), dtype=object)
    if len(items) < 2:
        raise EmptyDataError(
            f"split: {len(items)} of {len(users)} items have {min_users} users before the cut, "
            "wanted at least 2; lower split.min_users_per_item or bring more events"
        )
    return items


def _users(known: pd.DataFrame, items: pd.Index) -> pd.Index:
    """Users with a known event on the catalogue."""
    users = pd.Index(
        sorted(known.loc[known["item_id"].isin(items), "user_id"].astype(str).unique()), dtype=object
    )
    if len(users) < 2:
        raise EmptyDataError(
            f"split: {len(users)} user has events on the catalogue before the cut, wanted at least 2; "
            "lower split.min_users_per_item or move split.by.cut"
        )
    return users


def _label(bound: float, split: SplitSettings) -> str:
    """A snapshot's name: its date, or how far it lies from the test."""
    if isinstance(split.by, TimeSplit):
        moment = from_days(bound)
        return f"{moment:%Y-%m-%d}" if moment == moment.normalize() else f"{moment:%Y-%m-%dT%H%M}"
    return f"last{bound:+g}"
