"""What an answer over any store says of how far all is read, and which range it has by default."""

from pathlib import Path

import pytest

from fastdata import Metric
from fastdata.answer.arrow import describe
from fastdata.answer.query import query
from fastdata.coordinates.instants import parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.store.protocol import NEVER, Flip, ServingStore
from tests.answer.trips import NOON, ONE, TWO, declare, progress, total


class AnswersContract:
    """What `query` says of `read_until`, and of a range that is not given."""

    @pytest.fixture
    def rides(self, tmp_path: Path) -> Metric:
        return declare(tmp_path)

    async def test_an_answer_says_up_to_when_each_partition_is_read(
        self, store: ServingStore, rides: Metric
    ) -> None:
        # What lies in the log behind ONE, of whatever event time, nobody has read.
        await _count(store, rides)
        reports = [progress(TWO, 0, read_until=TWO), progress(TWO, 1, read_until=ONE + 1)]
        await store.upsert([], reports)
        table = await query(rides, every="1h", store=store)
        assert [(True, ONE + 1)] == [
            (row["exact"], parse_instant(row["read_until"])) for row in table.to_pylist()
        ]
        assert "2013-01-01T13:00:00.001000Z" == describe(table)["read_until"]

    async def test_it_is_unknown_while_it_is_of_one_partition(
        self, store: ServingStore, rides: Metric
    ) -> None:
        await _count(store, rides)
        await store.upsert([], [progress(TWO, 0), progress(TWO, 1, read_until=NEVER)])
        table = await query(rides, every="1h", store=store)
        assert ([None], None) == (
            table.column("read_until").to_pylist(),
            describe(table)["read_until"],
        )


async def _count(store: ServingStore, rides: Metric) -> None:
    """Let batch count the hour of noon."""
    rows = {NOON: [total(rides, NOON, ["Oslo", 1], [(5, "anna")])]}
    await store.write_totals(rides.id, 1, rows)
    await store.publish(rides.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])
