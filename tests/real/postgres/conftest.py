import pytest

from tests.support.services.postgres import Postgres


@pytest.fixture
def url(postgres: Postgres) -> str:
    """A new, empty database."""
    return postgres.url()
