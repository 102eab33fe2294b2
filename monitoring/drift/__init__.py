"""Whether users' interests moved since the champion learned: a pure verdict, and what to do about it."""

from monitoring.drift.decision import Decision, decide
from monitoring.drift.feed_checks import Fault, Feed
from monitoring.drift.measurement.known_items import Catalogue
from monitoring.drift.measurement.window_measurement import Observation
from monitoring.drift.online_metrics import Online
from monitoring.drift.reference import Reference, newest_complete_end, observe
from monitoring.drift.verdict import Finding, Verdict, judge

__all__ = [
    "Catalogue",
    "Decision",
    "Fault",
    "Feed",
    "Finding",
    "Observation",
    "Online",
    "Reference",
    "Verdict",
    "decide",
    "judge",
    "newest_complete_end",
    "observe",
]
