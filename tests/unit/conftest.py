"""Marks the unit tests that take more than a second, so that `make test-unit` can leave them out."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
SLOW = (
    "bench",
    "monitoring/simulation",
    "services/deployment/test_contents.py",
    "services/observability/test_metrics.py",
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
    "tierrec_core/tracking",
    "tierrec_core/tuning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marker `slow` to the tests of the files and folders above."""
    slow = tuple(HERE / path for path in SLOW)
    for item in items:
        if any(item.path.is_relative_to(path) for path in slow):
            item.add_marker(pytest.mark.slow)
