"""Keyspaces for the tests."""

import uuid
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session

from tests.support.services.cassandra import Cassandra


@pytest.fixture(scope="session")
def plain(cassandra: Cassandra) -> Iterator[Session]:
    """The driver itself, to look at what the store has made."""
    with cassandra.session() as session:
        yield session


@pytest.fixture
def keyspace() -> str:
    """The name of a keyspace that no other test has."""
    return f"test_{uuid.uuid4().hex[:12]}"
