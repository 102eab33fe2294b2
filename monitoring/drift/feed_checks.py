"""Whether the log of a window can be believed: faults of the feed and its users, each with what was found and wanted.

A fault is no drift: a model that is trained on a broken feed or on bots is worse than an old one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.historical_windows import ALL
from monitoring.drift.measurement.encoded_events import within
from monitoring.drift.measurement.raw_stats import RawStats
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.reference import DriftReference
from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import TIER_NAMES

_WEEK = 7
_QUIET = 0.1  # of what such a weekday usually has
_QUIET_DAYS = 2
_USUAL_ROWS = 20  # below this, an empty day may be chance
_JUMP = 0.05  # of all rows
_SIGMAS = 4.0
_GONE = 0.05  # of what a kind of event had
_KIND_ROWS = 50
_KIND_SHARE = 0.01
_COLLAPSE = 0.7  # of the events a user, in every tier
_FOCUS = 0.5
_FOCUS_RATIO = 3.0
_TOP_RATIO = 3.0


@dataclass(frozen=True)
class FeedFault:
    """Something wrong with the data: what, what was found, and what was wanted."""

    what: str
    found: str
    wanted: str

    def sentence(self) -> str:
        """One line that a person reads."""
        return f"data fault: {self.what}: {self.found}, wanted {self.wanted}"


@dataclass(frozen=True)
class FeedChecks:
    """The raw rows of the reference's window, None where the log no longer has it, and of the current one.

    start, end: of the current window, in days; silent_hours: from its newest event to the clock, None without a clock
    """

    start: float
    end: float
    before: RawStats | None
    after: RawStats
    silent_hours: float | None

    @classmethod
    def measure(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        reference: DriftReference,
        end: float,
        settings: MonitorSettings,
        now: datetime | None,
    ) -> Self:
        """Measure raw EVENTS, before any cleaning: it is the dirt that matters."""
        start, own = end - reference.settings.window_days, reference.observation
        known = reference.catalogue, reference.users
        old = within(events, own.start, own.end)
        before = RawStats.of(old, items, *known, own.start, own.end, None) if len(old) else None
        pace = before.pace if before else None
        after = RawStats.of(within(events, start, end), items, *known, start, end, pace)
        return cls(start, end, before, after, _silence(events, settings, now))


def find_faults(
    feed: FeedChecks, reference: DriftReference, current: WindowMeasurement, settings: MonitorSettings
) -> tuple[FeedFault, ...]:
    """Every fault of the current window; limits come from the reference window's own days and users."""
    if not feed.after.num_events:
        return (
            FeedFault(
                "the window is empty", f"no event from {_date(feed.start)} to {_date(feed.end)}", "events"
            ),
        )
    found = [
        *_stale(feed, settings),
        *_quiet_days(feed, reference),
        *_no_category(feed, reference),
        *_collapse(reference, current),
        *_bots(feed, settings),
    ]
    if feed.before is not None:
        found += [*_lost_kinds(feed.before, feed.after), *_duplicates(feed.before, feed.after)]
    return tuple(found)


def _silence(events: pd.DataFrame, settings: MonitorSettings, now: datetime | None) -> float | None:
    if now is None or settings.max_silence_hours is None:
        return None
    past = events["timestamp"][events["timestamp"] <= now]
    return float("inf") if past.empty else (now - past.max()).total_seconds() / 3600


def _stale(feed: FeedChecks, settings: MonitorSettings) -> Iterator[FeedFault]:
    limit = settings.max_silence_hours
    if limit is not None and feed.silent_hours is not None and feed.silent_hours > limit:
        yield FeedFault(
            "the feed is stale",
            f"no event for {feed.silent_hours:.0f} hours",
            f"one in {limit:g} hours (monitor.max_silence_hours)",
        )


def _quiet_days(feed: FeedChecks, reference: DriftReference) -> Iterator[FeedFault]:
    """Days with nearly nothing, beside the usual volume of their weekday; shops that close on Sundays may."""
    before, after = feed.before or feed.after, feed.after
    weekday = _weekdays(reference.observation.start if feed.before else feed.start, len(before.daily))
    usual = np.array(
        [np.median(before.daily[weekday == day]) if day in weekday else 0.0 for day in range(_WEEK)]
    )
    expected = usual[_weekdays(feed.start, len(after.daily))]
    quiet = (after.daily < _QUIET * expected) & (expected >= _USUAL_ROWS)
    usually = int((before.daily < _QUIET * usual[weekday]).sum()) if feed.before else 0
    allowed = max(_QUIET_DAYS, 1 + usually)
    if quiet.sum() >= allowed:
        days = ", ".join(_date(feed.start + day) for day in np.flatnonzero(quiet)[:3])
        more = " and more" if quiet.sum() > 3 else ""
        yield FeedFault(
            "days are missing",
            f"{quiet.sum()} of {len(quiet)} days have under {_QUIET:.0%} of their usual events ({days}{more})",
            f"fewer than {allowed}",
        )


def _weekdays(start: float, days: int) -> IntArray:
    return (int(np.floor(start)) + np.arange(days)) % _WEEK


def _collapse(reference: DriftReference, current: WindowMeasurement) -> Iterator[FeedFault]:
    """Every tier does far less at once: a season takes some, a broken feed takes all."""
    ratios = []
    for name, members in reference.standing.groups.items():
        before = int(reference.observation.events[members].sum())
        if name == ALL or before < _KIND_ROWS:
            continue
        ratios.append((name, float(current.events[members].sum()) / before))
    limit = _volume_limit(reference)
    if len(ratios) == len(TIER_NAMES) and all(ratio < limit for _, ratio in ratios):
        found = ", ".join(f"{name} {ratio:.0%}" for name, ratio in ratios)
        yield FeedFault(
            "all tiers collapsed at once", f"events beside the reference: {found}", f"over {limit:.0%}"
        )


def _volume_limit(reference: DriftReference) -> float:
    """Share of events under which nobody believes a season: _COLLAPSE, or twice what past windows ever lost."""
    past = float(reference.thresholds[f"volume/{ALL}"].max()) if reference.num_past else 0.0
    return min(_COLLAPSE, float(np.exp(-2 * past)))


def _lost_kinds(before: RawStats, after: RawStats) -> Iterator[FeedFault]:
    scale = after.num_events / max(before.num_events, 1)
    for kind, rows in before.kinds.items():
        expected = rows * scale
        common = rows >= _KIND_SHARE * before.num_events and expected >= _KIND_ROWS
        if common and after.kinds.get(kind, 0) < _GONE * expected:
            yield FeedFault(
                f"events of kind {kind!r} vanished", f"{after.kinds.get(kind, 0):,}", f"about {expected:,.0f}"
            )


def _duplicates(before: RawStats, after: RawStats) -> Iterator[FeedFault]:
    was, now = before.share(before.duplicates), after.share(after.duplicates)
    yield from _jump("duplicate rows jumped", was, before.spread(before.duplicates), now)


def _no_category(feed: FeedChecks, reference: DriftReference) -> Iterator[FeedFault]:
    """Beside the share that was measured at the cut: a catalogue that broke makes both windows look alike."""
    now = feed.after.share(feed.after.unknown)
    yield from _jump(
        "events without a category jumped", reference.unknown_share, reference.unknown_spread, now
    )


def _jump(what: str, was: float, spread: float, now: float) -> Iterator[FeedFault]:
    limit = was + max(_JUMP, _SIGMAS * spread)
    if now > limit:
        yield FeedFault(what, f"{now:.1%} of the rows, {was:.1%} in the reference", f"under {limit:.1%}")


def _bots(feed: FeedChecks, settings: MonitorSettings) -> Iterator[FeedFault]:
    before, after = feed.before, feed.after
    top = settings.max_user_share
    limit = max(top, _TOP_RATIO * before.top_share) if before else top
    if after.top_share > limit and after.num_users > 1 / top:
        yield FeedFault(
            "one user is no person",
            f"{after.top_user!r} made {after.top_share:.1%} of the events",
            f"under {limit:.1%}",
        )
    usual = before.fast_share if before else 0.0
    if after.fast_share > usual + top / 2:
        yield FeedFault(
            "users are faster than people",
            f"{after.fast_users} users with over {after.pace:.0f} events in a day made {after.fast_share:.1%} of all",
            f"under {usual + top / 2:.1%}",
        )
    crowd = before.new_share if before else 0.0
    if after.new_share > crowd + top and after.new_focus > max(_FOCUS, _FOCUS_RATIO * after.known_focus):
        yield FeedFault(
            "a crowd of new users does the same",
            f"{after.new_users} new users made {after.new_share:.1%} of the events, {after.new_focus:.0%} on ten items",
            f"under {max(_FOCUS, _FOCUS_RATIO * after.known_focus):.0%} on ten items",
        )


def _date(day: float) -> str:
    return f"{from_days(day):%Y-%m-%d}"
