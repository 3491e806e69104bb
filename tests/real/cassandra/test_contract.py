"""The contract of the stores on a real node."""

from collections.abc import AsyncIterator

import pytest
from cassandra.cluster import Session

from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.store.contract import StoreContract
from tests.support.services.cassandra import Cassandra

TABLES = ("partials", "places", "progress", "gaps", "totals", "spans", "runs")
# What is deleted here stays dead, by design; the next test writes the same rows.
LEAVING_TOMBSTONES = ("partials", "places")


class TestCassandra(StoreContract):
    @pytest.fixture
    async def store(self, cassandra: Cassandra, plain: Session) -> AsyncIterator[ServingStore]:
        async with open_store(cassandra.url("contract")) as store:
            # A keyspace for each test would be slower: a node makes tables slowly.
            for table in TABLES:
                rows = plain.execute(f"SELECT * FROM contract.{table} LIMIT 1").one()
                if rows or table in LEAVING_TOMBSTONES:
                    plain.execute(f"TRUNCATE contract.{table}")
            yield store
