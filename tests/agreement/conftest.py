"""Where the agreement tests run: here, in this process."""

import pytest

from tests.agreement.stages import Deploy, Deployment


@pytest.fixture(scope="session")
def deploy() -> Deploy:
    return Deployment
