"""The tables of the Cassandra store, its statements, and the bytes of its cells.

Two kinds of tables that never mix:

* *Decided* by compare-and-set (LWT): `layout`, `spans`, `runs`. No plain write touches them.
* *Merged* by write timestamps that are no clock but a stamp: of two values of one cell Cassandra
  keeps the larger timestamp and, of equal ones, the larger bytes. So each row has one cell, and
  retries, slow workers and any order of arrival end alike. A deletion with the timestamp of the
  newest row that it removes keeps whatever is older dead. `TimeWindowCompactionStrategy` would
  take the stamps for times and never find anything old enough; the unified strategy goes by size
  alone. The guardrails `minimum_timestamp_*` and `maximum_timestamp_*` must be off, as they are.

Sizes of partitions, for 25 million events a day (1,042,000 an hour; 7,200,000 in an hour at the
peak of 2,000 a second), 6 Kafka partitions, 4 buckets, and rows of 200 bytes before compression.
The worst case of a metric is that each event makes a row of its own:

| table | partition | rows at most | MB at most |
|---|---|---|---|
| partials | metric, hour, Kafka partition, bucket | 43,400; at the peak 300,000 | 9; 60 |
| totals | attempt, hour, part | cut by bytes when it is written | 4 |
| spans | metric | an hour is a row of 600 bytes: 1,440 in 60 days | 1 (a year: 5) |
| places | metric | 24 an hour until they are covered: 34,560 | 2 |
| runs | all | a run and metric is a row of 200 bytes: 10 metrics, hourly, a year: 87,600 | 18 |
"""
# ruff: noqa: S608 - the texts are put together from each other, values are bound.

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

from fastdata.store.protocol import Partial, Progress

__all__ = [
    "BUCKETS",
    "LAYOUT",
    "ONLY",
    "PartialsPlace",
    "Statements",
    "bucket_of",
    "dump_partial",
    "dump_progress",
    "load_partial",
    "load_progress",
    "of_keyspace",
    "tables",
    "write_time",
]

LAYOUT = 1
"""The version of these tables; another one is refused."""

BUCKETS = 4
ONLY = 0
"""The key of a table with one partition."""

_UNIFIED = "compaction = {{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': '{}'}}"

_TABLES = (
    """CREATE TABLE IF NOT EXISTS KS.partials (
        metric text, span bigint, partition int, bucket int,
        segment bigint, window bigint, dims text, cell blob,
        PRIMARY KEY ((metric, span, partition, bucket), segment, window, dims)
    ) WITH {updated}""",
    # Which partitions of `partials` there are, and the last segment in each.
    """CREATE TABLE IF NOT EXISTS KS.places (
        metric text, span bigint, partition int, bucket int, segment bigint,
        PRIMARY KEY (metric, span, partition, bucket)
    ) WITH {updated}""",
    """CREATE TABLE IF NOT EXISTS KS.progress (
        topic text, partition int, cell blob, PRIMARY KEY (topic, partition)
    ) WITH {updated}""",
    """CREATE TABLE IF NOT EXISTS KS.gaps (
        topic text, partition int, first bigint, until bigint,
        PRIMARY KEY (topic, partition, first)
    ) WITH {updated}""",
    """CREATE TABLE IF NOT EXISTS KS.totals (
        attempt uuid, span bigint, part int, window bigint, dims text, state blob,
        PRIMARY KEY ((attempt, span, part), window, dims)
    ) WITH {once}""",
    """CREATE TABLE IF NOT EXISTS KS.spans (
        metric text, span bigint, entry text, PRIMARY KEY (metric, span)
    ) WITH {updated}""",
    """CREATE TABLE IF NOT EXISTS KS.runs (
        only int, number bigint, metric text, first bigint, until bigint, coverage text,
        is_done boolean, opened uuid, PRIMARY KEY (only, number)
    ) WITH CLUSTERING ORDER BY (number DESC) AND {updated}""",
    "CREATE TABLE IF NOT EXISTS KS.layout (only int PRIMARY KEY, version int, buckets int)",
)


def of_keyspace(text: str, keyspace: str) -> str:
    """A text with the name of the keyspace; nodes warn of names that a session has to complete."""
    return text.replace("KS.", f"{keyspace}.")


def tables(keyspace: str) -> list[str]:
    """What makes the tables, in order: `layout` is the last, so that where it is, all are."""
    values = {"updated": _UNIFIED.format("L4"), "once": _UNIFIED.format("T4")}
    return [of_keyspace(table.format_map(values), keyspace) for table in _TABLES]


_PARTIALS = "metric = ? AND span = ? AND partition = ? AND bucket = ?"
_OF_TOTALS = "attempt = ? AND span = ? AND part = ?"
_GAP = "topic = ? AND partition = ? AND first = ?"
_RUN = "number, metric, first, until, coverage, is_done"


@dataclass(slots=True)
class Statements:
    """All that the store asks for; each text is replaced by its prepared statement."""

    put_partial: Any = (
        f"UPDATE KS.partials USING TIMESTAMP ? SET cell = ? WHERE {_PARTIALS}"
        " AND segment = ? AND window = ? AND dims = ?"
    )
    read_partials: Any = (
        f"SELECT segment, window, dims, cell FROM KS.partials WHERE {_PARTIALS} AND segment >= ?"
    )
    # Of some dimensions: the node looks at all rows, and sends these.
    filter_partials: Any = (
        f"SELECT segment, window, dims, cell FROM KS.partials WHERE {_PARTIALS} AND segment >= ?"
        " AND dims >= ? AND dims < ? ALLOW FILTERING"
    )
    any_partial: Any = f"SELECT segment FROM KS.partials WHERE {_PARTIALS} LIMIT 1"
    # The write timestamp of a partial is its stamp.
    tally_partials: Any = (
        f"SELECT count(*), sum(writetime(cell)) FROM KS.partials WHERE {_PARTIALS} AND segment >= ?"
    )
    newest_partial: Any = (
        f"SELECT count(*), max(writetime(cell)) FROM KS.partials WHERE {_PARTIALS} AND segment < ?"
    )
    drop_partials: Any = (
        f"DELETE FROM KS.partials USING TIMESTAMP ? WHERE {_PARTIALS} AND segment < ?"
    )
    put_place: Any = f"UPDATE KS.places USING TIMESTAMP ? SET segment = ? WHERE {_PARTIALS}"
    read_places: Any = (
        "SELECT span, partition, bucket, segment FROM KS.places"
        " WHERE metric = ? AND span >= ? AND span < ?"
    )
    drop_place: Any = f"DELETE FROM KS.places USING TIMESTAMP ? WHERE {_PARTIALS}"
    put_progress: Any = (
        "UPDATE KS.progress USING TIMESTAMP ? SET cell = ? WHERE topic = ? AND partition = ?"
    )
    read_progress: Any = "SELECT partition, cell FROM KS.progress WHERE topic = ?"
    put_gap_end: Any = f"UPDATE KS.gaps USING TIMESTAMP ? SET until = ? WHERE {_GAP}"
    read_gaps: Any = "SELECT topic, partition, first, until FROM KS.gaps WHERE topic = ?"
    put_total: Any = (
        f"UPDATE KS.totals USING TIMESTAMP 1 SET state = ? WHERE {_OF_TOTALS}"
        " AND window = ? AND dims = ?"
    )
    read_totals: Any = f"SELECT window, dims, state FROM KS.totals WHERE {_OF_TOTALS}"
    filter_totals: Any = (
        f"SELECT window, dims, state FROM KS.totals WHERE {_OF_TOTALS}"
        " AND dims >= ? AND dims < ? ALLOW FILTERING"
    )
    # With the timestamp of the rows, so that those of a slow writer stay dead.
    drop_totals: Any = f"DELETE FROM KS.totals USING TIMESTAMP 1 WHERE {_OF_TOTALS}"
    read_spans: Any = "SELECT span, entry FROM KS.spans WHERE metric = ? AND span >= ? AND span < ?"
    new_span: Any = "INSERT INTO KS.spans (metric, span, entry) VALUES (?, ?, ?) IF NOT EXISTS"
    change_span: Any = "UPDATE KS.spans SET entry = ? WHERE metric = ? AND span = ? IF entry = ?"
    newest_run: Any = "SELECT number FROM KS.runs WHERE only = ? LIMIT 1"
    new_run: Any = (
        f"INSERT INTO KS.runs (only, {_RUN}, opened) VALUES (?, ?, ?, ?, ?, ?,"
        " false, ?) IF NOT EXISTS"
    )
    opened_run: Any = "SELECT opened FROM KS.runs WHERE only = ? AND number = ?"
    close_run: Any = "UPDATE KS.runs SET is_done = true WHERE only = ? AND number = ? IF EXISTS"
    last_run: Any = (
        f"SELECT {_RUN} FROM KS.runs WHERE only = ? AND metric = ? LIMIT 1 ALLOW FILTERING"
    )
    runs_between: Any = (
        "SELECT metric FROM KS.runs WHERE only = ? AND metric >= ? AND metric < ? ALLOW FILTERING"
    )
    are_done: Any = "SELECT number, is_done FROM KS.runs WHERE only = ? AND number IN ?"


@dataclass(frozen=True, slots=True)
class PartialsPlace:
    """One partition of `partials`, and the last segment in it."""

    metric: str
    span: int
    partition: int
    bucket: int
    segment: int

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What names the partition."""
        return self.metric, self.span, self.partition, self.bucket


def bucket_of(dims: str, buckets: int) -> int:
    """Which bucket a row of these dimensions lies in; the same in every process."""
    return zlib.crc32(dims.encode()) % buckets


_STAMP = struct.Struct(">q")
_PROGRESS, _READ = struct.Struct(">Qqq"), struct.Struct(">q?")
_MIDDLE = 1 << 63


def dump_partial(stamp: int, state: bytes) -> bytes:
    """The cell of a partial."""
    return _STAMP.pack(stamp) + state


def write_time(partial: Partial) -> int:
    """The timestamp that a partial is written with, by which Cassandra does `rules.is_newer`.

    Reading before writing could not: another worker may write in between, and a compare-and-set
    for each partial would cost several round trips.
    """
    return partial.stamp


def load_partial(place: PartialsPlace, row: tuple[int, int, str, bytes]) -> Partial:
    """The partial of a row of `read_partials`."""
    segment, window, dims, cell = row
    (stamp,) = _STAMP.unpack_from(cell)
    return Partial(place.metric, window, dims, place.partition, segment, stamp, cell[8:])


def dump_progress(progress: Progress) -> bytes:
    """The cell of a progress: of one offset, the later report has the larger bytes."""
    cell = _PROGRESS.pack(progress.updated + _MIDDLE, progress.next_offset, progress.watermark)
    return cell + _READ.pack(progress.read_until, progress.is_at_end) + progress.epoch.encode()


def load_progress(topic: str, partition: int, cell: bytes) -> Progress:
    """The progress that `dump_progress` wrote, of this version or the one before."""
    updated, next_offset, watermark = _PROGRESS.unpack_from(cell)
    progress = Progress(topic, partition, next_offset, watermark, updated - _MIDDLE)
    if len(cell) == _PROGRESS.size:
        return progress
    read_until, is_at_end = _READ.unpack_from(cell, _PROGRESS.size)
    epoch = cell[_PROGRESS.size + _READ.size :].decode()
    return replace(progress, read_until=read_until, is_at_end=is_at_end, epoch=epoch)
