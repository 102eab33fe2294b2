"""Experiments on the service's lists: who sees which variant, and what came of it."""

from services.experiments.assignment import NOBODY, Assignment, Experiments
from services.experiments.results import VariantResult, all_results, variant_results
from services.experiments.settings import Experiment, Variant, VariantOverrides

__all__ = [
    "NOBODY",
    "Assignment",
    "Experiment",
    "Experiments",
    "Variant",
    "VariantOverrides",
    "VariantResult",
    "all_results",
    "variant_results",
]
