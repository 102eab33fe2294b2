"""Detects broken feeds and bots in a window's raw rows, so that they are not reported as drift."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.comparison import FeedSpan
from monitoring.drift.feed.contracts import find_contract_faults
from monitoring.drift.feed.fault import FeedFault, format_day
from monitoring.drift.feed.feed_log import events_between
from monitoring.drift.measurement.raw_stats import RawStats
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.reference import DriftReference
from monitoring.drift.statistics.effect_limits import ALL
from tierrec_core.base.contracts import IntArray
from tierrec_core.settings import MonitorSettings
from tierrec_core.settings.loop import FaultKind

_WEEK = 7
_QUIET_SHARE = 0.1  # of the weekday's median
_QUIET_DAYS = 2
_MIN_DAY_ROWS = 20  # expected; below it an empty day may be chance
_MIN_JUMP = 0.05  # of all rows
_SIGMAS = 4.0
_VANISHED_SHARE = 0.05  # of the expected rows
_MIN_ROWS = 50
_MIN_EVENT_SHARE = 0.01
_COLLAPSE_RATIO = 0.7
_MIN_CONCENTRATION = 0.5
_CONCENTRATION_RATIO = 3.0
_TOP_USER_RATIO = 3.0


@dataclass(frozen=True)
class FeedChecks:
    """Statistics of the raw rows of the reference window (None if the log no longer has them) and the current one.

    start, end: of the current window, in days; silent_hours: since the newest event, None without a clock
    contracts: faults that `monitoring.drift.feed` found
    """

    start: float
    end: float
    before: RawStats | None
    after: RawStats
    silent_hours: float | None
    contracts: tuple[FeedFault, ...] = ()

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
        """Measure raw EVENTS, before any cleaning."""
        start, window = end - reference.settings.window_days, reference.window
        known = reference.context.known_items, reference.users
        old = events_between(events, window.start, window.end)
        before = RawStats.of(old, items, *known, window.start, window.end, None) if len(old) else None
        rate_limit = before.rate_limit if before else None
        after = RawStats.of(events_between(events, start, end), items, *known, start, end, rate_limit)
        span = FeedSpan(window.start, reference.cut, start, end, settings.past_windows, settings.past_step_days)
        contracts = tuple(find_contract_faults(events, items, reference.catalogue, span))
        return cls(start, end, before, after, _silent_hours(events, settings, now), contracts)


def find_faults(
    feed: FeedChecks, reference: DriftReference, current: WindowMeasurement, settings: MonitorSettings
) -> tuple[FeedFault, ...]:
    """All faults of the current window except those of accepted kinds.

    Limits are derived from the days and users of the reference window, and from past windows.
    """
    before, after = feed.before, feed.after
    if not after.num_events:
        found = f"no event from {format_day(feed.start)} to {format_day(feed.end)}"
        return (FeedFault.of("empty", "the window is empty", found, "events", since=feed.start),)
    # against the share recorded at the cut, since a broken catalogue affects both windows
    unlabelled = reference.unlabelled_share, reference.unlabelled_deviation, after.share(after.daily_unlabelled)
    faults = [
        *feed.contracts,
        *_stale(feed, settings),
        *_missing_days(feed, reference),
        *_jump("unlabelled", "events without a category jumped", *unlabelled),
        *_collapse(reference, current),
        *_bots(feed, settings),
    ]
    if before is not None:
        old, new = before.share(before.daily_duplicates), after.share(after.daily_duplicates)
        repeated = _jump(
            "duplicates", "duplicate rows jumped", old, before.share_deviation(before.daily_duplicates), new
        )
        faults += [*_vanished_events(before, after), *repeated]
    return tuple(fault for fault in faults if fault.kind not in settings.accepted_faults)


def _silent_hours(events: pd.DataFrame, settings: MonitorSettings, now: datetime | None) -> float | None:
    if now is None or settings.max_silence_hours is None:
        return None
    past = events["timestamp"][events["timestamp"] <= now]
    return float("inf") if past.empty else (now - past.max()).total_seconds() / 3600


def _stale(feed: FeedChecks, settings: MonitorSettings) -> Iterator[FeedFault]:
    limit = settings.max_silence_hours
    if limit is not None and feed.silent_hours is not None and feed.silent_hours > limit:
        wanted = f"one in {limit:g} hours (monitor.max_silence_hours)"
        yield FeedFault.of("stale", "the feed is stale", f"no event for {feed.silent_hours:.0f} hours", wanted)


def _missing_days(feed: FeedChecks, reference: DriftReference) -> Iterator[FeedFault]:
    """Days with almost no events for their weekday; days on which the shop is usually closed are expected."""
    before, after = feed.before or feed.after, feed.after
    weekday = _weekdays(reference.window.start if feed.before else feed.start, len(before.daily))
    median = np.array([np.median(before.daily[weekday == day]) if day in weekday else 0.0 for day in range(_WEEK)])
    expected = median[_weekdays(feed.start, len(after.daily))]
    quiet = (after.daily < _QUIET_SHARE * expected) & (expected >= _MIN_DAY_ROWS)
    quiet_before = int((before.daily < _QUIET_SHARE * median[weekday]).sum()) if feed.before else 0
    allowed = max(_QUIET_DAYS, 1 + quiet_before)
    if quiet.sum() >= allowed:
        days = ", ".join(format_day(feed.start + day) for day in np.flatnonzero(quiet)[:3])
        more = " and more" if quiet.sum() > 3 else ""
        yield FeedFault.of(
            "missing_days",
            "days are missing",
            f"{quiet.sum()} of {len(quiet)} days have under {_QUIET_SHARE:.0%} of their usual events ({days}{more})",
            f"fewer than {allowed}",
            since=feed.start + int(np.flatnonzero(quiet)[0]),
        )


def _weekdays(start: float, num_days: int) -> IntArray:
    return (int(np.floor(start)) + np.arange(num_days)) % _WEEK


def _collapse(reference: DriftReference, current: WindowMeasurement) -> Iterator[FeedFault]:
    """A simultaneous fall in the activity of every tier, which seasons do not cause."""
    ratios = {}
    for name, members in reference.groups.members.items():
        before = int(reference.window.events[members].sum())
        if name != ALL and before >= _MIN_ROWS:
            ratios[name] = float(current.events[members].sum()) / before
    past_fall = float(reference.thresholds[f"volume/{ALL}"].max()) if reference.num_past else 0.0
    limit = min(_COLLAPSE_RATIO, float(np.exp(-2 * past_fall)))
    if len(ratios) == len(reference.groups.tier_names) and all(ratio < limit for ratio in ratios.values()):
        found = ", ".join(f"{name} {ratio:.0%}" for name, ratio in ratios.items())
        found = f"events relative to the reference: {found}"
        yield FeedFault.of("collapse", "all tiers collapsed at once", found, f"over {limit:.0%}")


def _vanished_events(before: RawStats, after: RawStats) -> Iterator[FeedFault]:
    scale = after.num_events / max(before.num_events, 1)
    for event, rows in before.event_counts.items():
        expected = rows * scale
        common = rows >= _MIN_EVENT_SHARE * before.num_events and expected >= _MIN_ROWS
        found = after.event_counts.get(event, 0)
        if common and found < _VANISHED_SHARE * expected:
            yield FeedFault.of(
                "lost_events", f"events of kind {event!r} vanished", f"{found:,}", f"about {expected:,.0f}"
            )


def _jump(kind: FaultKind, what: str, before: float, deviation: float, after: float) -> Iterator[FeedFault]:
    limit = before + max(_MIN_JUMP, _SIGMAS * deviation)
    if after > limit:
        yield FeedFault.of(kind, what, f"{after:.1%} of the rows, {before:.1%} in the reference", f"under {limit:.1%}")


def _bots(feed: FeedChecks, settings: MonitorSettings) -> Iterator[FeedFault]:
    before, after = feed.before, feed.after
    max_share = settings.max_user_share
    limit = max(max_share, _TOP_USER_RATIO * before.top_share) if before else max_share
    if after.top_share > limit and after.num_users > 1 / max_share:
        found = f"{after.top_user!r} made {after.top_share:.1%} of the events"
        yield FeedFault.of("bots", "one user has an implausible share of the events", found, f"under {limit:.1%}")
    limit = (before.fast_share if before else 0.0) + max_share / 2
    if after.fast_share > limit:
        fast = f"{after.fast_users} users with over {after.rate_limit:.0f} events in a day"
        yield FeedFault.of(
            "bots", "users are implausibly fast", f"{fast} made {after.fast_share:.1%} of all", f"under {limit:.1%}"
        )
    new_before = before.new_share if before else 0.0
    limit = max(_MIN_CONCENTRATION, _CONCENTRATION_RATIO * after.known_concentration)
    if after.new_share > new_before + max_share and after.new_concentration > limit:
        yield FeedFault.of(
            "bots",
            "new users concentrate on a few items",
            f"{after.new_users} new users made {after.new_share:.1%} of the events, "
            f"{after.new_concentration:.0%} on ten items",
            f"under {limit:.0%} on ten items",
        )
