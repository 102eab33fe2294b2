"""Train, validation and test splits of an interaction log.

Each event has a numeric position. A snapshot consists of the events before its bound; the targets of a window
are the events between its snapshot's bound and its `until`. For a time cut the position is the day; for
leave-last-out it is minus the distance from the user's last event; for a given split it is 1 for test and random
in [0, 1) for train, so that each earlier window holds out another tenth. The snapshot of production has all events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import GUEST, BoolArray, Event, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import Interactions, from_days, to_days
from tierrec_core.settings import GivenSplit, LeaveLastOut, SplitSettings, TaskSettings, TimeSplit

_GIVEN_HOLDOUT = 0.1
_WHOLE = "all"


@dataclass(frozen=True)
class Snapshot:
    """The events before `bound`."""

    name: str
    bound: float


@dataclass(frozen=True)
class Window:
    """Target events of one task after a snapshot, up to `until`; role is train, valid, test or production.

    repeats: whether items that the user has already seen count as targets
    """

    name: str
    task: str
    role: str
    snapshot: str
    until: float
    repeats: bool


@dataclass(frozen=True)
class SplitLog:
    """The full log with its snapshots and windows, oldest first; users and items are those before the final window.

    position: of each event, [N]
    target: names of the target events
    guests: events of guests as those of one user, for counts of items; guest_position: of each of them
    """

    log: Interactions
    position: FloatArray
    snapshots: tuple[Snapshot, ...]
    windows: tuple[Window, ...]
    target: tuple[str, ...]
    guests: Interactions
    guest_position: FloatArray

    @classmethod
    def cut(
        cls,
        events: pd.DataFrame,
        split: SplitSettings,
        tasks: Mapping[str, TaskSettings],
        guests: pd.DataFrame | None = None,
    ) -> Self:
        """Split prepared EVENTS. Users and items come from the events before the test; impressions are dropped.

        guests: EVENTS that count for items alone
        Raises EmptyDataError when no training or test targets are left.
        """
        events = _interactions(events)
        position, bound, scale = _positions(events, split)
        result = cls._before(bound, events, position, split, guests)
        windows = [window for name, task in tasks.items() for window in result._plan(name, task, bound, scale)]
        names = {start: _label(start, split) for start in sorted({start for _, start in windows})}
        return replace(
            result,
            snapshots=tuple(Snapshot(name, start) for start, name in names.items()),
            windows=tuple(replace(window, snapshot=names[start]) for window, start in windows),
        )

    @classmethod
    def whole(
        cls,
        events: pd.DataFrame,
        split: SplitSettings,
        tasks: Mapping[str, TaskSettings],
        guests: pd.DataFrame | None = None,
    ) -> Self:
        """All events as one snapshot, for production: each task has a window after it, without targets.

        Arguments as for `cut`. Raises EmptyDataError for a log of too few users or items.
        """
        snapshot = Snapshot(_WHOLE, np.inf)
        windows = (
            Window(f"{name}-production", name, "production", snapshot.name, np.inf, task.repeats)
            for name, task in tasks.items()
        )
        events = _interactions(events)
        result = cls._before(snapshot.bound, events, _positions(events, split)[0], split, guests)
        return replace(result, snapshots=(snapshot,), windows=tuple(windows))

    @classmethod
    def _before(
        cls, bound: float, events: pd.DataFrame, position: FloatArray, split: SplitSettings, guests: pd.DataFrame | None
    ) -> Self:
        """The events of the users and items before the bound, not yet split."""
        known = position < bound
        guests = events[:0] if guests is None else guests[guests["event"] != Event.IMPRESSION]
        guest_position = _guest_positions(guests, split)
        items = _catalogue(events[known], split.min_users_per_item)
        users = _users(events[known], items)
        row = users.get_indexer(pd.Index(events["user_id"].astype(object)))
        column = items.get_indexer(pd.Index(events["item_id"].astype(object)))
        keep = np.flatnonzero((row >= 0) & (column >= 0))
        keep = keep[np.lexsort((to_days(events["timestamp"])[keep], row[keep]))]
        log = Interactions.from_events(events.iloc[keep], users=users, items=items)
        guest_log, guest_row = _guest_log(guests, items)
        return cls(log, position[keep], (), (), split.target, guest_log, guest_position[guest_row])

    @property
    def final(self) -> Snapshot:
        """The newest snapshot: all events before the test, or in production all events."""
        return self.snapshots[-1]

    @property
    def has_test(self) -> bool:
        """Whether events follow the final snapshot: False in production."""
        return self.final.bound < np.inf

    def final_window(self, task: str) -> Window:
        """The task's window after the final snapshot."""
        return self.windows_of(task, "test", "production")[0]

    def history(self, snapshot: str) -> Interactions:
        """The events before the snapshot's bound; users and items keep their rows and columns."""
        bound = self._bound(snapshot)
        past = self.log.where(self.position < bound)
        latest = float(np.nextafter(past.day.max(initial=0.0), np.inf))
        return replace(past, now=max(bound, latest) if 1 < bound < np.inf else latest)

    def guest_history(self, snapshot: str) -> Interactions:
        """The events of guests before the snapshot's bound, as of the same time as its history."""
        now = self.history(snapshot).now
        return self.guests.where(self.guest_position < self._bound(snapshot)).before(now)

    def truth(self, window: Window) -> tuple[IntArray, IntArray]:
        """Distinct (user, item) pairs of the window's target events, sorted, [P] and [P].

        Users without an earlier event are left out and, unless repeats count, pairs seen earlier.
        """
        bound = self._bound(window.snapshot)
        future = self.log.where((self.position >= bound) & (self.position < window.until)).filter_events(*self.target)
        past = self.log.where(self.position < bound)
        user, item = future.unique_pairs()
        keep = np.diff(past.offsets)[user] > 0
        if not window.repeats:
            seen = np.stack(past.unique_pairs()).T @ [self.log.num_items, 1]
            keep &= ~np.isin(user * self.log.num_items + item, seen)
        return user[keep], item[keep]

    def windows_of(self, task: str, *roles: str) -> list[Window]:
        """Windows of the task with these roles, oldest first."""
        return [window for window in self.windows if window.task == task and window.role in roles]

    def ends_before(self, window: Window, other: Window) -> bool:
        """Whether all target events of the window lie before the other's snapshot."""
        return window.until <= self._bound(other.snapshot)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of params.yaml."""
        return list(dict.fromkeys(window.task for window in self.windows))

    def _bound(self, snapshot: str) -> float:
        return next(known.bound for known in self.snapshots if known.name == snapshot)

    def _plan(self, name: str, task: TaskSettings, bound: float, scale: float) -> list[tuple[Window, float]]:
        """Windows of one task, oldest first, each with its bound; windows without targets are left out."""
        horizon, step = (task.horizon_days, task.step_days) if scale == 0 else (scale, scale)
        roles = ["test", "valid"] + ["train"] * (task.windows - 1)
        planned = []
        for rank, role in enumerate(roles[: task.windows + 1]):
            start = bound - horizon - (rank - 1) * step if rank else bound
            window = Window(f"{name}-{rank}" if rank else f"{name}-test", name, role, "", start + horizon, task.repeats)
            probe = replace(self, snapshots=(Snapshot("", start),))
            if len(probe.truth(window)[0]):
                planned.append((window, start))
            elif role == "test":
                raise EmptyDataError(
                    f"split: task {name!r} has no {'/'.join(self.target)} event of a known user and item after the "
                    f"cut; move split.by.cut back, raise tasks.{name}.horizon_days or set split.target"
                )
        if len(planned) == 1:
            raise EmptyDataError(
                f"split: task {name!r} has no earlier window for training; lower tasks.{name}.horizon_days "
                f"(now {task.horizon_days:g}) or move split.by.cut forward"
            )
        return planned[::-1]


def _interactions(events: pd.DataFrame) -> pd.DataFrame:
    """The events without impressions. Raises EmptyDataError if there are no others."""
    events = events[events["event"] != Event.IMPRESSION]
    if events.empty:
        raise EmptyDataError("split: the log has no events but impressions; map others in source.events")
    return events


def _positions(events: pd.DataFrame, split: SplitSettings) -> tuple[FloatArray, float, float]:
    """Position of each event, bound of the test, and width of a window (0: the task's horizon_days)."""
    match split.by:
        case TimeSplit(cut=datetime() as cut):
            moment = cut if cut.tzinfo else cut.replace(tzinfo=UTC)
            return to_days(events["timestamp"]), moment.timestamp() / 86_400, 0
        case TimeSplit(last_days=int() as days):
            day = to_days(events["timestamp"])
            return day, float(np.floor(day.max())) + 1 - days, 0
        case TimeSplit(cut=share):
            day = to_days(events["timestamp"])
            return day, float(np.floor(np.quantile(day, share))), 0  # type: ignore[arg-type]
        case LeaveLastOut():
            from_end = events.sort_values("timestamp", kind="stable").groupby("user_id").cumcount(ascending=False)
            return -1.0 - from_end.reindex(events.index).to_numpy(dtype=float), -1.0, 1
        case GivenSplit():
            train = np.random.default_rng(0).random(len(events))
            return np.where(_given_test_part(events["split"]), 1.0, train), 1.0, _GIVEN_HOLDOUT


def _given_test_part(split: pd.Series) -> BoolArray:
    """Whether each event is of the given test part. Raises EmptyDataError where none or all are."""
    test = split.eq("test").fillna(value=False).to_numpy(dtype=bool)
    if test.all() or not test.any():
        found = ", ".join(f"{name} ({count} events)" for name, count in split.value_counts().head().items())
        raise EmptyDataError(
            f"split: split.by.kind is given, and the events' split is {found or 'empty'}, wanted train and test; "
            "name their column in source.columns.split, or split by time: {kind: time, cut: last 28 days}"
        )
    return test


def _guest_positions(guests: pd.DataFrame, split: SplitSettings) -> FloatArray:
    """Position of each event of a guest, [N]; without a cut in time, those of training are before all windows."""
    match split.by:
        case TimeSplit():
            return to_days(guests["timestamp"])
        case GivenSplit():
            return np.where(guests["split"].eq("test").fillna(value=False), 1.0, -np.inf)
        case LeaveLastOut():
            return np.full(len(guests), -np.inf)


def _guest_log(guests: pd.DataFrame, items: pd.Index) -> tuple[Interactions, IntArray]:
    """The guests' events with these items in one row, and the row of EVENTS of each."""
    row = np.flatnonzero(guests["item_id"].isin(items))
    row = row[np.argsort(to_days(guests["timestamp"])[row], kind="stable")]
    if not len(row):
        return Interactions.from_history((), items, now=0.0), row
    return Interactions.from_events(guests.iloc[row], users=pd.Index([GUEST], dtype=object), items=items), row


def _catalogue(known: pd.DataFrame, min_users: int) -> pd.Index:
    """Items with at least `min_users` users before the test."""
    if known.empty:
        raise EmptyDataError("split: no event is before the cut; move split.by.cut forward, or provide older events")
    interactions = known[known["event"] != Event.REDEEM]
    users = interactions.groupby("item_id", observed=True)["user_id"].nunique()
    items = pd.Index(sorted(users.index[users >= min_users].astype(str)), dtype=object)
    if len(items) < 2:
        raise EmptyDataError(
            f"split: {len(items)} of {len(users)} items have {min_users} users before the cut, "
            "wanted at least 2; lower split.min_users_per_item or provide more events"
        )
    return items


def _users(known: pd.DataFrame, items: pd.Index) -> pd.Index:
    """Users with an event with a catalogue item before the test."""
    users = pd.Index(sorted(known.loc[known["item_id"].isin(items), "user_id"].astype(str).unique()), dtype=object)
    if len(users) < 2:
        raise EmptyDataError(
            f"split: {len(users)} user has events with catalogue items before the cut, wanted at least 2; "
            "lower split.min_users_per_item or move split.by.cut"
        )
    return users


def _label(bound: float, split: SplitSettings) -> str:
    """Name of a snapshot: its date, or its distance from the test."""
    if isinstance(split.by, TimeSplit):
        moment = from_days(bound)
        return f"{moment:%Y-%m-%d}" if moment == moment.normalize() else f"{moment:%Y-%m-%dT%H%M}"
    return f"last{bound:+g}"
