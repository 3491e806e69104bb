"""What an answer over any store says of how far all is read, and which range it has by default."""

from pathlib import Path

import pyarrow as pa
import pytest

from fastdata import Metric
from fastdata.answer.arrow import describe
from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.store.protocol import NEVER, Flip, ServingStore
from tests.answer.trips import NOON, ONE, TWO, declare, partial, progress, total, unfolded


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

    async def test_the_default_range_has_the_hours_of_which_only_left_out_events_are_known(
        self, store: ServingStore, rides: Metric
    ) -> None:
        await _count(store, rides)
        late, future = unfolded(rides, NOON - HOUR_MS, "late", 3), unfolded(rides, TWO, "future", 4)
        await store.upsert([late, future], [progress(TWO)])
        table = await query(rides, every="all", store=store)
        (row,) = table.to_pylist()
        assert (1, 1, 8, False) == tuple(row[name] for name in _COUNT)
        assert (NOON - HOUR_MS, TWO + HOUR_MS) == _range(table)

    async def test_the_default_end_has_them_where_only_the_start_is_given(
        self, store: ServingStore, rides: Metric
    ) -> None:
        await _count(store, rides)
        await store.upsert([unfolded(rides, TWO, "future", 4)], [progress(TWO)])
        table = await query(rides, "2013-01-01T12:00", every="month", store=store)
        assert (NOON, TWO + HOUR_MS) == _range(table)
        assert [5] == table.column("n_upper").to_pylist()

    async def test_mistakes_do_not_stretch_the_default_range(
        self, store: ServingStore, rides: Metric
    ) -> None:
        await _count(store, rides)
        mistakes = [
            unfolded(rides, 0, "dead:time-out-of-range", 9),
            unfolded(rides, TWO, "repeat", 9),
            unfolded(rides, parse_instant("9999-12-31T23:00Z"), "future", 9),
        ]
        await store.upsert(mistakes, [progress(TWO)])
        for every in ("all", "day"):
            table = await query(rides, every=every, store=store)
            assert (NOON, ONE) == _range(table)
            assert [(1, 1, 1, True)] == [tuple(r[n] for n in _COUNT) for r in table.to_pylist()]

    async def test_rolling_days_end_where_they_did(
        self, store: ServingStore, rides: Metric
    ) -> None:
        await store.upsert([partial(rides, NOON, ["Oslo", 1], [(1, "anna")])], [progress(TWO)])
        before = await query(rides, every="day", rolling="7d", store=store)
        later = [unfolded(rides, NOON + days * DAY_MS, "future", 4) for days in (0, 2)]
        await store.upsert(later, [])
        table = await query(rides, every="day", rolling="7d", store=store)
        assert (NOON, ONE) == _range(table) == _range(before)
        assert [5] == table.column("n_upper").to_pylist()

    async def test_the_rows_of_a_table_keep_until_when_all_was_read_at_their_time(
        self, store: ServingStore, rides: Metric, tmp_path: Path
    ) -> None:
        await _count(store, rides)
        flat = flat_table(rides, "1h")
        async with Exporter(flat, f"sqlite:///{tmp_path}/flat.db", store=store) as exporter:
            written = []
            for moment in (TWO, TWO + 1):
                # A later report of the same offset.
                await store.upsert([], [progress(moment)])
                report = await exporter.refresh()
                written.append((report.read_until, report.refreshed, report.rows))
        assert [(TWO, 1, 1), (TWO + 1, 0, 0)] == written


_COUNT = ("n", "n_lower", "n_upper", "exact")


async def _count(store: ServingStore, rides: Metric) -> None:
    """Let batch count the hour of noon."""
    rows = {NOON: [total(rides, NOON, ["Oslo", 1], [(5, "anna")])]}
    await store.write_totals(rides.id, 1, rows)
    await store.publish(rides.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])


def _range(table: pa.Table) -> tuple[int, int]:
    about = describe(table)
    return parse_instant(str(about["start"])), parse_instant(str(about["end"]))
