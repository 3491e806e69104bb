"""How much of everything an event stream needs: disks, rows, requests, workers.

Sizes of states are those of the real code: made-up events are folded and dumped. What a row
takes besides was measured on the real servers, without compression; each constant says so. All
values of a distinct count differ, and all keys are equally frequent: real streams need less.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.operate.rollups import RollupNeed, rollup_need
from fastdata.operate.states import dims_bytes, hour_bytes, occupied, state_bytes
from fastdata.store.hours import hours_id, room_for_hours
from fastdata.store.rollups import ROW_BYTES

__all__ = ["Load", "Sizing", "segment_size_for", "size"]

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_MB = 1_000_000

# A record of Kafka besides its value: its own head, a key of 20 bytes, a share of the batch.
_RECORD_BYTES = 32
# A row of the changelog besides dimensions, metric's id and state: the head of its key (22), its
# stamp (8) and the record (10).
_CHANGELOG_ROW_BYTES = 40
_ID_BYTES = 12
# The newest file of a partition is never compacted; Kafka's own segment.bytes.
_ACTIVE_FILE_BYTES = 1 << 30
# At Kafka's min.cleanable.dirty.ratio, 0.5, as much may be out of date as is not.
_DIRTY = 2
# Flights: datums of 68 bytes took 25 in the archive, with offsets and lengths.
_DEFLATED = 0.4
_ENTRY_BYTES = 2_000
# Cassandra 5.0: 60,000 rows with 23 bytes of dimensions and a state of 45 took 102 and 82 each.
_PARTIAL_ROW_BYTES, _TOTAL_ROW_BYTES = 35, 16
_CASSANDRA_PARTITION_BYTES = 100 * _MB
_DEFAULT_BUCKETS = 4
# SQLite: 100,000 such rows took 199 each; id and dimensions are in the row and in the index.
_SQL_ROW_BYTES = 65
# A worker that has joined had 112 MB; a cell in memory 1,050 to 1,500 besides its state, and an id
# that was seen 188.
_WORKER_BYTES = 120 * _MB
_CELL_BYTES = 1_300
_SEEN_BYTES = 190
_ROCKSDB_BYTES = 128 << 20
# A partition's store has 6 files open and at least 10 tables; the rest of a worker some 20.
_WORKER_FILES, _PARTITION_FILES = 100, 16
# One process on one busy core, with a cell for nearly each event: a third of what was measured.
_EVENTS_PER_WORKER_S = 7_500


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in, and how long it is kept.

    Attributes:
        events_per_s: On average, over all partitions.
        peak_per_s: The most, for an hour.
        keys: Different dimension values of a metric in a day; of each of its grouping sets.
        event_bytes: Of one record's value in Kafka, uncompressed.
        partitions: Of the topic.
        days: How long answers and archive are kept.
        log_days: The topic's retention.
        replay_every_h: Hours between two replays.
        recount_days: How many days back events still come, so that a replay counts them again.
        replicas: Copies of each byte in Kafka and in Cassandra.
        segment_size: Offsets; None for the one that is recommended.
        commit_interval_s: As in the settings.
        tile_age_s: As in the settings.
        max_cells: As in the settings.
    """

    events_per_s: float
    peak_per_s: float
    keys: int
    event_bytes: int = 200
    partitions: int = 6
    days: int = 60
    log_days: float = 7.0
    replay_every_h: float = 24.0
    recount_days: int = 7
    replicas: int = 3
    segment_size: int | None = None
    commit_interval_s: float = 1.0
    tile_age_s: float = 10.0
    max_cells: int = 100_000


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a load needs. Bytes of Kafka and Cassandra are those of all replicas.

    Attributes:
        events: In all of the days that are kept.
        segment_size: Offsets; a segment of it closes within an hour at the average rate.
        segment_minutes: How long one is open on average.
        kafka_log_bytes: The topic.
        kafka_changelog_bytes: What a worker restores its state from.
        archive_objects_per_day: Closed segments, and as many manifest entries.
        archive_puts_per_day: With the tiles of open segments, which are deleted again.
        archive_bytes: Of all days.
        partials: Rows, between two replays.
        totals: Rows, while a replay runs that counts again what it may.
        upserts_per_s: Partials written, on average.
        upserts_at_peak_per_s: The same at the peak.
        totals_per_day: Rows that the replay of one day writes.
        sql_bytes: Of SQLite or PostgreSQL.
        cassandra_bytes: Of Cassandra before its compression.
        cassandra_buckets: The option of the URL: partitions stay below 100 MB.
        cassandra_partition_bytes: The largest, in an hour at the peak.
        workers: One more than the peak needs, but no more than partitions.
        worker_bytes: Memory of each, when one has failed.
        worker_files: Files that each must be allowed to open then.
        catch_up_minutes: After an hour in which none ran.
        rollups: By the name of each metric that has some, what they add; it is in the sums above.
    """

    events: int
    events_per_day: int
    segment_size: int
    segment_minutes: float
    kafka_log_bytes: int
    kafka_changelog_bytes: int
    archive_objects_per_day: int
    archive_puts_per_day: int
    archive_bytes: int
    partials: int
    totals: int
    upserts_per_s: int
    upserts_at_peak_per_s: int
    totals_per_day: int
    sql_bytes: int
    cassandra_bytes: int
    cassandra_buckets: int
    cassandra_partition_bytes: int
    workers: int
    worker_bytes: int
    worker_files: int
    catch_up_minutes: float
    rollups: Mapping[str, RollupNeed]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def segment_size_for(events_per_s: float, partitions: int) -> int:
    """The largest of 100, 200, 500, 1,000, ... that one partition fills within an hour."""
    hourly = events_per_s / partitions * _HOUR_S
    if hourly < 100:
        return 100
    power = 10 ** math.floor(math.log10(hourly))
    return int(power * max(step for step in (1, 2, 5) if step * power <= hourly))


def size(load: Load, source: Source, metrics: Sequence[Metric]) -> Sizing:
    """What a load of one source needs with at least one metric over it."""
    segment = load.segment_size or segment_size_for(load.events_per_s, load.partitions)
    minutes = segment / (load.events_per_s / load.partitions * _MINUTE_S)
    # A worker and the store drop what the version before the newest covers: two replays ago.
    kept_minutes = 2 * load.replay_every_h * 60 + minutes
    needs = [
        _need_of(metric, number, load, segment, kept_minutes)
        for metric in metrics
        for number in range(len(metric.sets))
    ]
    remembered = -(-source.repeat_horizon // segment) * segment + segment if source.id else 0
    per_day = load.events_per_s * _DAY_S
    rollups = {
        metric.name: rollup_need(
            metric, load.keys, per_day, load.days, load.recount_days, replicas=load.replicas,
            sql_row_bytes=_SQL_ROW_BYTES, cassandra_row_bytes=_TOTAL_ROW_BYTES,
        )
        for metric in metrics
        if metric.rollups
    }  # fmt: skip
    return Sizing(
        events=round(per_day * load.days),
        events_per_day=round(per_day),
        segment_size=segment,
        segment_minutes=round(minutes, 1),
        **_kafka(load, needs, remembered),
        **_archive(load, segment, list(rollups.values())),
        **_store(load, needs, list(rollups.values())),
        **_workers(load, needs, remembered),
        rollups=rollups,
    )


@dataclass(frozen=True, slots=True)
class _Need:
    """What one grouping set of a metric needs, of one replica.

    Attributes:
        partials: Rows, in store and changelog.
        totals: Rows, with those of versions that a replay writes or keeps to undo.
        state: Bytes of the state of one partial.
        hour_bytes: Partials of one partition in an hour at the peak, in Cassandra.
    """

    partials: float
    totals: float
    totals_per_day: float
    upserts_per_s: float
    upserts_at_peak_per_s: float
    state: int
    changelog_bytes: float
    sql_bytes: float
    cassandra_bytes: float
    hour_bytes: float


def _kafka(load: Load, needs: Sequence[_Need], remembered: int) -> dict[str, int]:
    per_day = load.events_per_s * _DAY_S * (load.event_bytes + _RECORD_BYTES)
    ids = remembered * _ID_BYTES * _DIRTY
    rows = sum(need.changelog_bytes for need in needs)
    changelog = rows + load.partitions * (ids + _ACTIVE_FILE_BYTES)
    return {
        "kafka_log_bytes": round(per_day * load.log_days * load.replicas),
        "kafka_changelog_bytes": round(changelog * load.replicas),
    }


def _archive(load: Load, segment: int, rollups: Sequence[RollupNeed]) -> dict[str, int]:
    per_day = load.events_per_s * _DAY_S
    objects, tiles = per_day / segment, load.partitions * _DAY_S / load.tile_age_s
    daily = per_day * load.event_bytes * _DEFLATED + objects * _ENTRY_BYTES
    return {
        "archive_objects_per_day": math.ceil(2 * objects),
        "archive_puts_per_day": math.ceil(2 * (objects + tiles)),
        "archive_bytes": round(load.days * daily) + sum(more.archive_bytes for more in rollups),
    }


def _store(load: Load, needs: Sequence[_Need], rollups: Sequence[RollupNeed]) -> dict[str, int]:
    sql_bytes = sum(need.sql_bytes for need in needs) + sum(more.sql_bytes for more in rollups)
    cassandra_bytes = sum(need.cassandra_bytes for need in needs) * load.replicas
    hour_bytes = max(need.hour_bytes for need in needs)
    buckets = max(_DEFAULT_BUCKETS, math.ceil(hour_bytes / _CASSANDRA_PARTITION_BYTES))
    return {
        "partials": round(sum(need.partials for need in needs)),
        "totals": round(sum(need.totals for need in needs)),
        "upserts_per_s": round(sum(need.upserts_per_s for need in needs)),
        "upserts_at_peak_per_s": round(sum(need.upserts_at_peak_per_s for need in needs)),
        "totals_per_day": round(sum(need.totals_per_day for need in needs)),
        "sql_bytes": round(sql_bytes),
        "cassandra_bytes": round(cassandra_bytes + sum(more.cassandra_bytes for more in rollups)),
        "cassandra_buckets": buckets,
        "cassandra_partition_bytes": round(hour_bytes / buckets),
    }


def _workers(load: Load, needs: Sequence[_Need], remembered: int) -> dict[str, Any]:
    capacity = _EVENTS_PER_WORKER_S / len(needs)
    workers = min(load.partitions, math.ceil(load.peak_per_s / capacity) + 1)
    # Of one worker while another one is gone.
    partitions = math.ceil(load.partitions / max(1, workers - 1))
    cells = min(load.max_cells, sum(need.partials for need in needs))
    in_memory = cells * (_CELL_BYTES + max(need.state for need in needs))
    ids = partitions * remembered * _SEEN_BYTES
    spare = max(1.0, workers * capacity - load.events_per_s)
    return {
        "workers": workers,
        "worker_bytes": round(_WORKER_BYTES + _ROCKSDB_BYTES + in_memory + ids),
        "worker_files": _WORKER_FILES + partitions * _PARTITION_FILES,
        "catch_up_minutes": round(60 * load.events_per_s / spare, 1),
    }


def _need_of(metric: Metric, number: int, load: Load, segment: int, kept_minutes: float) -> _Need:
    names = metric.sets[number]
    keys = load.keys if names else 1
    rows, state = _partials(metric, keys, load, segment, load.events_per_s)
    peak_rows, peak_state = _partials(metric, keys, load, segment, load.peak_per_s)
    per_minute = load.events_per_s * _MINUTE_S
    windows = occupied(keys, per_minute)
    total = state_bytes(metric, per_minute / windows, exact=True)
    hours, hour = _hours(metric, keys, per_minute, windows, total)
    partials, per_day = rows * load.partitions * kept_minutes, windows * _DAY_S / _MINUTE_S
    # Of an hour that is counted again there are the head's version, the one before, and the new.
    days = load.days + 2 * min(load.recount_days, load.days)
    totals, of_hours = per_day * days, 24 * hours * days
    dims = dims_bytes(metric, number)
    name = len(metric.id)
    changelog_row = _CHANGELOG_ROW_BYTES + name + dims + state
    # Nothing is compacted before min.compaction.lag.ms, an hour, has passed.
    upserts = _upserts(keys, load, load.events_per_s)
    return _Need(
        partials,
        totals + of_hours,
        per_day + 24 * hours,
        upserts,
        _upserts(keys, load, load.peak_per_s),
        state,
        changelog_bytes=changelog_row * (_DIRTY * partials + upserts * _HOUR_S),
        sql_bytes=(
            partials * (_SQL_ROW_BYTES + 2 * (name + dims) + state)
            + totals * (_SQL_ROW_BYTES + 2 * (name + dims) + total)
            + of_hours * (_SQL_ROW_BYTES + 2 * (len(hours_id(metric.id)) + dims) + hour)
        ),
        cassandra_bytes=(
            partials * (_PARTIAL_ROW_BYTES + dims + state)
            + totals * (_TOTAL_ROW_BYTES + dims + total)
            + of_hours * (_TOTAL_ROW_BYTES + dims + hour)
        ),
        hour_bytes=peak_rows * 60 * (_PARTIAL_ROW_BYTES + dims + peak_state),
    )


def _hours(
    metric: Metric, keys: int, per_minute: float, windows: float, total: int
) -> tuple[float, int]:
    """Totals of a whole hour, and the bytes of one; none where minutes are as good.

    Args:
        windows: Totals of a minute; `total` is the bytes of one.
    """
    rows = occupied(keys, 60 * per_minute)
    room = room_for_hours(rows, 60 * windows, 60 * windows * (ROW_BYTES + total))
    if not room:
        return 0, 0
    hour = hour_bytes(metric, 60 * per_minute / rows)
    return (0, 0) if hour is None or rows * (ROW_BYTES + hour) > room else (rows, hour)


def _partials(
    metric: Metric, keys: int, load: Load, segment: int, per_s: float
) -> tuple[float, int]:
    """Rows of one partition and minute, and the bytes of a state."""
    minute = per_s / load.partitions * _MINUTE_S
    # An edge of a segment cuts a minute in two.
    pieces = 1 + minute / segment
    rows = pieces * occupied(keys, minute / pieces)
    return rows, state_bytes(metric, minute / rows, exact=False)


def _upserts(keys: int, load: Load, per_s: float) -> float:
    """Partials a second: a flush writes each cell that changed once."""
    between = per_s / load.partitions * load.commit_interval_s
    return load.partitions * occupied(keys, between) / load.commit_interval_s
