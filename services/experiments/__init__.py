"""Experiments on the service's lists: settings, assignment of users to variants, and results."""

from services.experiments.assignment import Assignment, Experiments
from services.experiments.results import VariantResult, all_results
from services.experiments.settings import Experiment

__all__ = ["Assignment", "Experiment", "Experiments", "VariantResult", "all_results"]
