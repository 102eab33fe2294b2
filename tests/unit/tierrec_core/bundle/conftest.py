"""The small bundle that the tests of this folder share."""

import pytest

from tests.support.bundles import make_bundle
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.protocols.model import Training


@pytest.fixture(scope="session")
def bundle(training: Training) -> Bundle:
    return make_bundle(training)
