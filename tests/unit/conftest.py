"""Files of unit tests that take more than a second, or that import what does; `make test-unit` leaves them out."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
MEDIUM = (
    "bench",
    "clients/test_calls.py",
    "monitoring/simulation",
    "services/deployment/test_contents.py",
    "services/observability/test_metrics.py",
    "services/rules/test_rules.py",
    "tierrec_core/bundle/test_model_comparison.py",
    "tierrec_core/models/test_conformance.py",
    "tierrec_core/models/test_esmm.py",
    "tierrec_core/models/test_funnel_ranker.py",
    "tierrec_core/models/test_mixture_of_experts.py",
    "tierrec_core/models/test_multitask.py",
    "tierrec_core/models/test_sasrec.py",
    "tierrec_core/models/test_set_encoder.py",
    "tierrec_core/models/test_symmetric_mf.py",
    "tierrec_core/models/test_two_tower.py",
    "tierrec_core/neural",
    "tierrec_core/propensity",
    "tierrec_core/ranking/test_blend.py",
    "tierrec_core/sources/test_schema_inference.py",
    "tierrec_core/tracking",
    "tierrec_core/tuning",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the files and folders above where the tests of the marker `medium` are left out."""
    is_medium = any(collection_path.is_relative_to(HERE / path) for path in MEDIUM)
    return True if is_medium and config.option.markexpr == "not medium" else None
