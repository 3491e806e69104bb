"""A year of flights from New York through the full set of services."""

import pytest

from tests.agreement.test_flights import *  # noqa: F403  (the same tests, on the deployments here)

pytestmark = pytest.mark.nightly
