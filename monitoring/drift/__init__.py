"""Whether users' interests moved since the champion learned: a pure verdict, and what to do about it."""

from monitoring.drift.catalogue import Catalogue
from monitoring.drift.decision import Decision, decide
from monitoring.drift.feed import Fault, Feed
from monitoring.drift.observation import Observation
from monitoring.drift.online import Online
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
