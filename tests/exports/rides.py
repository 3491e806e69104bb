"""A store of rides that changes in any way a store can, and what an export of it must be."""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
from pyarrow import parquet

from fastdata import Metric
from fastdata.answer.query import query
from fastdata.coordinates.dimensions import Dimension
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.protocol import Flip, ServingStore, Total
from tests.answer.trips import MINUTE, NOON, SIZE, Trip, gap, partial, progress, total, unfolded

Rows = list[dict[str, object]]

SUFFIXES = ("", "_lower", "_upper")
CITIES = ("Oslo", "Bonn", "", None)
HOURS = [NOON + n * HOUR_MS for n in (0, 1, 2, 11, 12, 35)]


class Place(Protocol):
    """Where a table is exported to, and how a tool reads it there."""

    url: str

    def rows(self, table: str = "rides_1h") -> Rows: ...


class SqliteFile:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "flat.db"
        self.url = f"sqlite:///{self.file}"

    def rows(self, table: str = "rides_1h") -> Rows:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                f'SELECT * FROM "{table}" ORDER BY "window_start"'
            ).fetchall()
        return [_of_sqlite(dict(row)) for row in found]


class DuckDbFile:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "flat.duckdb"
        self.url = f"duckdb:///{self.file}"

    def rows(self, table: str = "rides_1h") -> Rows:
        with duckdb.connect(self.file, read_only=True) as connection:
            found = connection.sql(f'SELECT * EXCLUDE row_key FROM "{table}" ORDER BY ALL')
            rows: Rows = found.to_arrow_table().to_pylist()
        return rows


class ParquetFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "parquet"
        self.url = str(self.folder)

    def rows(self, table: str = "rides_1h") -> Rows:
        found: pa.Table = parquet.read_table(self.folder / table)
        rows: Rows = found.drop_columns(["window_day"]).to_pylist()
        return rows


FILES: dict[str, Callable[[Path], Place]] = {
    "sqlite": SqliteFile,
    "duckdb": DuckDbFile,
    "parquet": ParquetFolder,
}


def _of_sqlite(row: dict[str, object]) -> dict[str, object]:
    assert isinstance(row.pop("row_key"), str)
    for name in ("window_start", "window_end", "updated_at"):
        row[name] = datetime.fromisoformat(str(row[name])).replace(tzinfo=UTC)
    if row["read_until"] is not None:
        row["read_until"] = datetime.fromisoformat(str(row["read_until"])).replace(tzinfo=UTC)
    return row | {"exact": bool(row["exact"])}


def comparable(rows: Rows) -> list[str]:
    """Rows in one order, without the moments at which they were written."""
    moments = ("read_until", "updated_at")
    return sorted(
        repr(sorted((k, str(v)) for k, v in row.items() if k not in moments)) for row in rows
    )


async def answer(
    metric: Metric, store: ServingStore, every: str = "1h", bounds: bool = False
) -> Rows:
    """The rows that the table of all dimensions must have."""
    first, last = datetime(2012, 12, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)
    table = await query(metric, first, last, every=every, by=metric.by, layers=True, store=store)
    columns = [f"{m}{suffix}" for m in metric.measures for suffix in SUFFIXES[: 3 if bounds else 1]]
    names = ["window_start", "window_end", *metric.by, *columns, "layer", "exact"]
    rows: Rows = table.select(names).to_pylist()
    return rows


class Changes:
    """Random things that happen to a store, as they do in truth."""

    def __init__(self, seed: int, metric: Metric, store: ServingStore) -> None:
        self._rng = random.Random(seed)
        self._metric = metric
        self._store = store
        self._offset = 0
        self._watermark = NOON
        self._cell: tuple[int, int, list[Dimension]] | None = None
        self._trips: list[Trip] = []

    async def happen(self) -> str:
        """Let one thing happen; what it was."""
        what = self._rng.choice(
            ["fold"] * 6 + ["replay", "time"] * 3 + ["confirm", "undo", "clean up", "late", "gap"]
        )
        await getattr(self, "_" + what.replace(" ", "_"))(self._rng.choice(HOURS))
        return what

    async def _fold(self, hour: int) -> None:
        """A new cell of the newest segment, or one more trip in the last cell."""
        self._offset += self._rng.randrange(1, SIZE // 2)
        segment = self._offset // SIZE
        if self._cell is None or segment != self._cell[0] or self._rng.random() < 0.5:
            window = hour + self._rng.randrange(60) * MINUTE
            self._cell = segment, window, [self._rng.choice(CITIES), self._rng.randrange(2)]
            self._trips = []
        _, window, dims = self._cell
        self._trips.append((self._rng.randrange(9), "anna"))
        await self._store.upsert([partial(self._metric, window, dims, self._trips, segment)], [])

    async def _late(self, hour: int) -> None:
        self._offset += SIZE
        one = unfolded(self._metric, hour, "late", 2, self._offset // SIZE)
        await self._store.upsert([one], [])

    async def _gap(self, hour: int) -> None:
        self._offset += SIZE
        await self._store.record_gap(gap(self._offset, self._offset + 9))

    async def _time(self, hour: int) -> None:
        self._watermark += self._rng.randrange(9 * HOUR_MS)
        await self._store.upsert([], [progress(self._watermark, p) for p in (0, 1)])

    async def _replay(self, hour: int) -> None:
        metric = self._metric
        cities = self._rng.sample(CITIES, self._rng.randrange(4))
        rows: list[Total] = [
            total(metric, hour + 5 * MINUTE, [city, 1], [(self._rng.randrange(9), "ben")])
            for city in cities
        ]
        coverage = Coverage({0: self._offset // SIZE + 1})
        run = await self._store.open_run(metric.id, hour, hour + HOUR_MS, coverage)
        held = await self._store.write_totals(metric.id, run.number, {hour: rows})
        await self._flip(hour, run.number, coverage, held[hour])
        await self._store.close_run(run.number)

    async def _confirm(self, hour: int) -> None:
        """A replay finds nothing new: no partial of the hour is in the segments that it counts."""
        head = (await self._store.heads(self._metric.id, hour, hour + 1)).get(hour)
        if head is not None:
            until = max(head.coverage.get(0), 1)
            await self._flip(hour, head.version, Coverage({0: until, 1: self._offset + 1}), None)

    async def _undo(self, hour: int) -> None:
        await self._store.undo(self._metric.id, hour)

    async def _clean_up(self, hour: int) -> None:
        of = self._metric.id, hour, hour + HOUR_MS, unfolded_of(self._metric.source).id
        await self._store.clean_up(*of)

    async def _flip(self, hour: int, version: int, coverage: Coverage, rows: int | None) -> None:
        head = (await self._store.heads(self._metric.id, hour, hour + 1)).get(hour)
        expected = (head.version, head.coverage) if head else None
        flip = Flip(hour, expected, version, coverage, rows)
        await self._store.publish(self._metric.id, [flip])


async def replay_hours(
    metric: Metric, store: ServingStore, hours: Sequence[int], city: str = "Oslo", km: int = 5
) -> None:
    """Make some hours exact, each with one trip."""
    run = await store.open_run(metric.id, hours[0], hours[-1] + HOUR_MS, Coverage({0: 1}))
    rows = {hour: [total(metric, hour, [city, 1], [(km, "anna")])] for hour in hours}
    held = await store.write_totals(metric.id, run.number, rows)
    heads = await store.heads(metric.id, hours[0], hours[-1] + HOUR_MS)
    flips = []
    for hour in hours:
        head = heads.get(hour)
        expected = (head.version, head.coverage) if head else None
        flips.append(Flip(hour, expected, run.number, Coverage({0: 1}), held[hour]))
    await store.publish(metric.id, flips)
    await store.close_run(run.number)
