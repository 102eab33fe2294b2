"""Drift detection: compares a current window of the log with a reference window and decides whether to retrain."""

from monitoring.drift.canary import CanaryResult, CanaryTask, run_canary
from monitoring.drift.decision import DriftDecision, decide
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed_checks import FeedChecks, find_faults
from monitoring.drift.finding import DriftFinding
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.reference import DriftReference, measure_window, newest_complete_end
from monitoring.drift.retrain_value import RetrainValue
from monitoring.drift.verdict import DriftVerdict, OnlineMetrics, evaluate_window

__all__ = [
    "CanaryResult",
    "CanaryTask",
    "DriftDecision",
    "DriftFinding",
    "DriftReference",
    "DriftVerdict",
    "FeedChecks",
    "FeedFault",
    "OnlineMetrics",
    "RetrainValue",
    "WindowMeasurement",
    "decide",
    "evaluate_window",
    "find_faults",
    "measure_window",
    "newest_complete_end",
    "run_canary",
]
