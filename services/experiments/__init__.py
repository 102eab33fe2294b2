"""Experiments on the service's lists: settings, assignment of users to variants, and results."""

from services.experiments.assignment import NO_VARIANT, Assignment, Experiments
from services.experiments.results import VariantResult, all_results, variant_results
from services.experiments.settings import Experiment, Variant, VariantOverrides

__all__ = [
    "NO_VARIANT",
    "Assignment",
    "Experiment",
    "Experiments",
    "Variant",
    "VariantOverrides",
    "VariantResult",
    "all_results",
    "variant_results",
]
