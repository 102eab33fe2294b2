"""Whether users' interests moved since the champion learned: a pure verdict, and what to do about it."""

from monitoring.drift.decision import DriftDecision, decide
from monitoring.drift.feed_checks import FeedChecks, FeedFault
from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.online_metrics import OnlineMetrics
from monitoring.drift.reference import DriftReference, newest_complete_end, observe
from monitoring.drift.verdict import DriftFinding, DriftVerdict, judge

__all__ = [
    "DriftDecision",
    "DriftFinding",
    "DriftReference",
    "DriftVerdict",
    "FeedChecks",
    "FeedFault",
    "KnownItems",
    "OnlineMetrics",
    "WindowMeasurement",
    "decide",
    "judge",
    "newest_complete_end",
    "observe",
]
