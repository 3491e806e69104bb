"""The events of GitHub through the full set of services."""

from tests.agreement.test_github import *  # noqa: F403  (the same tests, on the deployments here)
