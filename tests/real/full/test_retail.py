"""A year of a shop's invoices through the full set of services."""

import pytest

from tests.agreement.test_retail import *  # noqa: F403  (the same tests, on the deployments here)

pytestmark = pytest.mark.nightly
