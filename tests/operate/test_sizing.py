"""What a load needs, in literal numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastdata import Metric, load
from fastdata.operate.rollups import RollupNeed, rollup_need
from fastdata.operate.sizing import Load, segment_size_for, size
from fastdata.operate.states import estimate_bytes, occupied, state_bytes, whole_bytes
from fastdata.store.cassandra.schema import BUCKETS
from tests.batch.visits import Visits

ROOT = Path(__file__).parents[2]
MONTHS = Load(events_per_s=25_000_000 / 86_400, peak_per_s=2_000, keys=10_000)


@pytest.fixture
def departures() -> Metric:
    metric: Metric = load(ROOT / "agents" / "flights.py").departures
    return metric


def test_60_days_of_25_million_events(departures: Metric) -> None:
    found = size(MONTHS, departures.source, [departures])

    assert (found.events, found.events_per_day) == (1_500_000_000, 25_000_000)
    assert (found.segment_size, found.segment_minutes) == (100_000, 34.6)
    assert found.archive_objects_per_day == 500
    assert found.archive_puts_per_day == 104_180
    assert found.upserts_per_s == 289
    assert found.upserts_at_peak_per_s == 1_967
    # Of each key a total of each hour, too.
    assert found.totals_per_day == 11_862_658 + 24 * 10_000
    assert found.totals == 74 * (11_862_658 + 24 * 10_000) - 4
    assert (found.cassandra_buckets, found.workers) == (4, 2)


def test_each_event_of_its_own_minute_is_a_row(departures: Metric) -> None:
    rare = Load(events_per_s=1, peak_per_s=1, keys=10**9, partitions=1, replay_every_h=24)
    found = size(rare, departures.source, [departures])

    assert found.totals_per_day == 86_400
    # Two days between replays, and the 33.3 minutes in which a segment of 2,000 is open.
    assert (found.segment_size, found.partials) == (2_000, 2 * 86_400 + 2_000)


def test_one_key_is_a_row_a_minute_and_partition(departures: Metric) -> None:
    load = replace(MONTHS, keys=1, partitions=4, segment_size=10**9)
    found = size(load, departures.source, [departures])

    assert found.totals_per_day == 1_440
    assert (found.upserts_per_s, found.upserts_at_peak_per_s) == (4, 4)


def test_rows_are_as_large_as_was_measured(departures: Metric) -> None:
    # 60 events a minute; names of 23 bytes, dimensions of 35, states of 286 and 938.
    one = Load(
        events_per_s=1, peak_per_s=1, keys=1, partitions=1, days=30, recount_days=15,
        replay_every_h=12, replicas=1, segment_size=86_400,
    )  # fmt: skip
    found = size(one, departures.source, [departures])

    assert (found.partials, found.totals) == (2_882, 60 * 1_440)
    assert found.cassandra_bytes == 2_882 * (35 + 35 + 286) + 86_400 * (16 + 35 + 938)
    keys = 65 + 2 * (23 + 35)
    assert found.sql_bytes == 2_882 * (keys + 286) + 86_400 * (keys + 938)


def test_kafka_keeps_the_topic_in_copies(departures: Metric) -> None:
    found = size(replace(MONTHS, log_days=2), departures.source, [departures])

    assert found.kafka_log_bytes == 3 * 2 * 25_000_000 * (200 + 32)


def test_a_crowd_of_keys_at_the_peak_takes_more_buckets(departures: Metric) -> None:
    crowd = replace(MONTHS, peak_per_s=100_000, keys=10**9)
    found = size(crowd, departures.source, [departures])

    assert found.cassandra_buckets == 71
    assert 90_000_000 < found.cassandra_partition_bytes <= 100_000_000


def test_there_are_no_more_workers_than_partitions(departures: Metric) -> None:
    peak = replace(MONTHS, peak_per_s=40_000)

    assert size(peak, departures.source, [departures]).workers == 6
    more = replace(peak, partitions=64)
    assert size(more, departures.source, [departures]).workers == 7


def test_a_worker_opens_the_files_of_its_share_while_another_is_gone(departures: Metric) -> None:
    needs = size(replace(MONTHS, partitions=128), departures.source, [departures])

    assert (needs.workers, needs.worker_files) == (2, 100 + 16 * 128)


@pytest.mark.parametrize(
    ("events_per_s", "partitions", "expected"),
    [(300, 6, 100_000), (1, 1, 2_000), (0.001, 8, 100), (100_000 / 3_600, 1, 100_000)],
)
def test_a_segment_closes_within_an_hour(
    events_per_s: float, partitions: int, expected: int
) -> None:
    assert segment_size_for(events_per_s, partitions) == expected


@pytest.mark.parametrize(
    ("keys", "events", "expected"), [(10_000, 18_000, 8_347), (1, 50, 1), (10**12, 500, 500)]
)
def test_as_many_keys_are_seen_as_chance_has_it(keys: int, events: int, expected: int) -> None:
    assert round(occupied(keys, events)) == expected


@pytest.mark.parametrize(
    ("events", "exact", "expected"),
    [
        (1, False, 44),
        (60, False, 286),
        (60, True, 938),
        (5_000, False, 4_178),
        (5_000, True, 4_186),
    ],
)
def test_a_state_is_as_large_as_it_is_stored(
    departures: Metric, events: int, exact: bool, expected: int
) -> None:
    assert state_bytes(departures, events, exact) == expected


def test_few_events_need_no_more_buckets_than_a_keyspace_has(departures: Metric) -> None:
    found = size(replace(MONTHS, peak_per_s=1), departures.source, [departures])

    assert found.cassandra_buckets == BUCKETS


def rollups_of(metric: Metric, keys: int) -> RollupNeed:
    """Of 960 events a day in 40 days, none of which is counted again."""
    return rollup_need(metric, keys, 960, 40, 0, sql_row_bytes=0, cassandra_row_bytes=0, replicas=1)


def test_rollups_of_one_key(tmp_path: Path) -> None:
    metric = Visits(tmp_path, ("day", "30d"), by=()).metric
    found = rollups_of(metric, 1)

    # Of the day at hand, and of the windows that hold it, there is the version before.
    days, windows = 40 + 1, 40 + 31
    assert found.rows == days + windows - 1
    day, window = state_bytes(metric, 960, exact=True), estimate_bytes(metric, 960 * 30)
    assert day > 100 * window
    assert found.cassandra_bytes == days * (2 + day) + (windows - 1) * (2 + window)
    assert found.archive_bytes == 40 * (whole_bytes(metric, 960) + 24 * whole_bytes(metric, 40))


def test_rolling_days_of_rare_keys_take_nothing(tmp_path: Path) -> None:
    rolled = Visits(tmp_path, ("30d",)).metric
    daily = Visits(tmp_path, ("day",)).metric

    # But for the one row a day of all keys together.
    assert rollups_of(rolled, 10**9).rows == rollups_of(daily, 10**9).rows + 40 + 30
    # What comes each day has a row for each window.
    assert rollups_of(rolled, 96).rows == rollups_of(daily, 96).rows + 97 * (40 + 30)


def test_rollups_are_in_the_sums(tmp_path: Path) -> None:
    world = Visits(tmp_path, ())
    plain = size(MONTHS, world.source, [world.metric])
    rolled = size(MONTHS, world.source, [world.declare(("day", "month", "30d"))])

    (need,) = rolled.rollups.values()
    assert not plain.rollups
    assert rolled.sql_bytes == pytest.approx(plain.sql_bytes + need.sql_bytes)
    assert rolled.cassandra_bytes == pytest.approx(plain.cassandra_bytes + need.cassandra_bytes)
    assert rolled.archive_bytes == plain.archive_bytes + need.archive_bytes
