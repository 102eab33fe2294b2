"""Marks files whose unit tests take more than a second; `make test-unit` leaves them out."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
MEDIUM = (
    "bench",
    "monitoring/simulation",
    "services/deployment/test_contents.py",
    "services/observability/test_metrics.py",
    "services/rules/test_rules.py",
    "tierrec_core/bundle/test_model_comparison.py",
    "tierrec_core/models/test_conformance.py",
    "tierrec_core/models/test_funnel_ranker.py",
    "tierrec_core/models/test_multitask.py",
    "tierrec_core/models/test_sasrec.py",
    "tierrec_core/models/test_set_encoder.py",
    "tierrec_core/models/test_symmetric_mf.py",
    "tierrec_core/models/test_two_tower.py",
    "tierrec_core/propensity",
    "tierrec_core/ranking/test_blend.py",
    "tierrec_core/sources/test_schema_inference.py",
    "tierrec_core/tracking",
    "tierrec_core/tuning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marker `medium` to the tests of the files and folders above."""
    medium = tuple(HERE / path for path in MEDIUM)
    for item in items:
        if any(item.path.is_relative_to(path) for path in medium):
            item.add_marker(pytest.mark.medium)
