"""A year of flights from New York through the full set of services."""

import os

import pytest

from tests.agreement.test_flights import *  # noqa: F403  (the same tests, on the deployments here)

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "FASTDATA_TEST_LARGE" not in os.environ,
        reason="FASTDATA_TEST_LARGE=1 sends the large sets, too, for some minutes each",
    ),
]
