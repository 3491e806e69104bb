"""The events of Wikipedia through the full set of services."""

import pytest

from tests.agreement.test_wikipedia import *  # noqa: F403  (the same tests, on the deployments here)

pytestmark = pytest.mark.nightly
