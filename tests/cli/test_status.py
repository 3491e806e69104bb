"""What a status says of a store and a log made by hand."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata import Metric, Source
from fastdata.archive import ArchiveStorage, add_epoch, open_archive_storage
from fastdata.cli.main import commands
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.coordinates.segments import Coverage
from fastdata.declare.catalog import Catalog, catalog_of
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import BrokerError
from fastdata.local.project import Project
from fastdata.operate.log_reader import LogReader
from fastdata.operate.status import PartitionStatus, SourceStatus, Status, StatusReader
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.past_runs import PastRun, add_past_run
from fastdata.store.protocol import NEVER, Flip, Gap, Partial, Progress
from tests.answer.folder import make_folder
from tests.support.mockbroker import MockBroker

NOW = 1_700_000_000_000


class ScriptedLog(LogReader):
    """Says what it is told to; an event is appended one second after the one before."""

    def __init__(self, ends: Mapping[int, int] | None) -> None:
        self.ends = ends

    async def check(self) -> None:
        return

    def ranges(self, topics: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
        if self.ends is None:
            raise BrokerError("the broker kafka:9092 cannot be reached: gone")
        return {topic: {p: (0, end) for p, end in self.ends.items()} for topic in topics}

    def append_times(self, topic: str, offsets: Mapping[int, int]) -> dict[int, int]:
        assert self.ends is not None
        return {p: NOW - 1000 * (self.ends[p] - offset) for p, offset in offsets.items()}


@pytest.fixture
def catalog() -> Catalog:
    schema = str(Path(__file__).parents[2] / "schemas" / "flight.avsc")
    flights = Source(
        "flights", topic="flights", schema=schema, time="scheduled_departure", segment_size=100
    )
    return catalog_of([Metric("departures", flights), Metric("by_origin", flights, by=["origin"])])


async def read(
    catalog: Catalog,
    store: MemoryStore,
    ends: Mapping[int, int] | None,
    archive: ArchiveStorage | None = None,
) -> tuple[SourceStatus, tuple[str, ...]]:
    archive = archive or open_archive_storage("memory:///")
    reader = StatusReader(catalog, store=store, archive=archive, log=ScriptedLog(ends))
    status = await reader.read(NOW)
    (source,) = status.sources
    return source, status.problems


async def count(store: MemoryStore, metric: Metric, span: int, coverage: Coverage) -> None:
    """Publish an empty version of one hour."""
    run = await store.open_run(metric.id, span, span + 3_600_000, coverage)
    await store.publish(metric.id, [Flip(span, None, run.number, coverage, 0)])


def progress(partition: int, next_offset: int, read_until: int = NEVER) -> Progress:
    return Progress("flights", partition, next_offset, NOW, NOW, read_until)


async def test_a_partition_that_is_behind_lags_since_its_oldest_unfolded_event(
    catalog: Catalog,
) -> None:
    async with MemoryStore() as store:
        await store.upsert([], [progress(0, 230), progress(1, 50)])
        source, problems = await read(catalog, store, {0: 250, 1: 50})
    assert problems == ()
    assert source.partitions == (
        PartitionStatus(
            0, log_start=0, log_end=250, folded=230, archived=0, closed=0, covered=0, lag=20,
            lag_s=20.0, read_age_s=None, archive_lag=250, archive_lag_s=250.0,
            covered_age_s=250.0,
        ),
        PartitionStatus(
            1, log_start=0, log_end=50, folded=50, archived=0, closed=0, covered=0, lag=0,
            lag_s=0.0, read_age_s=None, archive_lag=50, archive_lag_s=50.0,
            covered_age_s=50.0,
        ),
    )  # fmt: skip


async def test_covered_is_where_the_last_run_of_every_metric_ends(catalog: Catalog) -> None:
    async with MemoryStore() as store:
        departures, by_origin = catalog.metric("departures"), catalog.metric("by_origin")
        one = await store.open_run(departures.id, 0, 3_600_000, Coverage({0: 3, 1: 1}))
        two = await store.open_run(by_origin.id, 0, 3_600_000, Coverage({0: 2, 1: 1}))
        await store.close_run(one.number)
        await store.close_run(two.number)
        source, _ = await read(catalog, store, {0: 350, 1: 120})
    assert [partition.covered for partition in source.partitions] == [200, 100]
    assert [partition.covered_age_s for partition in source.partitions] == [150.0, 20.0]
    assert {name: run.number for name, run in source.runs.items() if run} == {
        "departures": one.number,
        "by_origin": two.number,
    }


async def test_a_run_that_is_not_finished_covers_nothing(catalog: Catalog) -> None:
    async with MemoryStore() as store:
        await store.open_run(catalog.metric("departures").id, 0, 3_600_000, Coverage({0: 3}))
        source, _ = await read(catalog, store, {0: 350})
    assert [partition.covered for partition in source.partitions] == [0]


async def test_what_was_not_folded_is_counted_by_reason(catalog: Catalog) -> None:
    unfolded = unfolded_of(catalog.sources["flights"])

    def counted(reason: str, window: int, segment: int, events: int) -> Partial:
        states = unfolded.zero()
        for _ in range(events):
            unfolded.add(states, {"reason": reason})
        dims, stamp = dump_dims([reason]), 100 * segment + 99
        return Partial(unfolded.id, window, dims, 0, segment, stamp, unfolded.dump(states))

    left_out = [
        counted("late", 3_600_000, 0, 2),
        counted("late", 7_200_000, 1, 3),
        counted("dead:malformed", 0, 1, 4),
        counted("repeat", 7_200_000, 1, 1),
    ]
    async with MemoryStore() as store:
        await store.upsert(left_out, [])
        source, _ = await read(catalog, store, {0: 250})
        assert source.unfolded == {"dead:malformed": 4, "late": 5, "repeat": 1}

        # Of an hour that one metric has not counted, the events are left to batch still.
        await count(store, catalog.metric("departures"), 3_600_000, Coverage({0: 1}))
        source, _ = await read(catalog, store, {0: 250})
        assert source.unfolded["late"] == 5
        await count(store, catalog.metric("by_origin"), 3_600_000, Coverage({0: 1}))
        source, _ = await read(catalog, store, {0: 250})
        assert source.unfolded == {"dead:malformed": 4, "late": 3, "repeat": 1}

        # The open segment was counted up to the stamp, as tips.
        for metric in catalog.metrics.values():
            await count(store, metric, 7_200_000, Coverage({0: 1}, {0: 200}))
            await count(store, metric, 0, Coverage({0: 2}))
        source, _ = await read(catalog, store, {0: 250})
    assert source.unfolded == {"dead:malformed": 4}


async def test_only_partitions_of_the_present_epoch_are_shown(catalog: Catalog) -> None:
    logs = LogIdentity("here", "aa"), LogIdentity("here", "bb")
    before, after = (Epoch(log, first) for log, first in zip(logs, (0, 1_000), strict=True))
    archive = open_archive_storage("memory:///")
    async with MemoryStore() as store:
        old = progress(0, 230, NOW - 600_000)
        await store.upsert([], [replace(old, epoch=str(before.log))])
        for number, epoch in enumerate((before, after)):
            await add_epoch(archive, "flights", number, epoch)
        begun, _ = await read(catalog, store, {0: 50}, archive)
        assert [(0, 50, 0, 50)] == [
            (p.partition, p.log_end, p.folded, p.lag) for p in begun.partitions
        ]
        assert begun.read_until is None
        new = replace(progress(1_000, 40, NOW - 1), epoch=str(after.log))
        await store.upsert([], [new])
        for storage in (archive, None):  # also where the archive is not looked at
            source, _ = await read(catalog, store, {0: 50}, storage)
            assert [(0, 50, 40, 10)] == [
                (p.partition, p.log_end, p.folded, p.lag) for p in source.partitions
            ]
            assert source.read_until == NOW - 1


async def test_a_source_is_read_until_its_partition_that_is_least_far(catalog: Catalog) -> None:
    async with MemoryStore() as store:
        await store.upsert([], [progress(0, 230, NOW - 1), progress(1, 50, NOW - 600_000)])
        source, _ = await read(catalog, store, {0: 250, 1: 50})
        assert (source.read_until, source.read_lag_s) == (NOW - 600_000, 600.0)
        shown = Status((source,), ()).as_dict()["sources"]
        assert isinstance(shown, list)
        assert shown[0]["read_until"] == "2023-11-14T22:03:20Z"
        unread, _ = await read(catalog, store, {0: 250, 1: 50, 2: 0})
        assert (unread.read_until, unread.read_lag_s) == (None, None)


async def test_gaps_are_listed(catalog: Catalog) -> None:
    gap = Gap("flights", 1, 100, 300)
    async with MemoryStore() as store:
        await store.record_gap(gap)
        source, _ = await read(catalog, store, {0: 0, 1: 300})
    assert source.gaps == (gap,)


async def test_without_the_broker_the_rest_is_read(catalog: Catalog) -> None:
    async with MemoryStore() as store:
        await store.upsert([], [progress(0, 230)])
        source, problems = await read(catalog, store, None)
    assert problems == ("the broker kafka:9092 cannot be reached: gone",)
    (partition,) = source.partitions
    assert partition.folded == 230
    assert (partition.log_end, partition.lag, partition.lag_s) == (None, None, None)


async def test_a_metric_that_was_never_replayed_has_its_earlier_definition(
    catalog: Catalog,
) -> None:
    store = MemoryStore()
    departures = catalog.metric("departures")
    for metric in (departures.id, "by_origin-000000000000"):
        run = await store.open_run(metric, 0, 3_600_000, Coverage())
        rows = await store.write_totals(metric, run.number, {0: []})
        await store.publish(metric, [Flip(0, None, run.number, Coverage(), rows[0])])

    source, _ = await read(catalog, store, {0: 0})

    (found,) = source.earlier.items()
    assert ("by_origin", "by_origin-000000000000") == (found[0], found[1].id)


def test_a_narrow_terminal_cuts_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FASTDATA_BROKER", "127.0.0.1:1")
    make_folder(tmp_path)

    shown = CliRunner().invoke(commands, ["status"])

    assert "partition" in shown.stdout.splitlines()[2]
    assert "400" in shown.stdout.splitlines()[4]
    assert "…" not in shown.stdout


def test_a_dev_that_runs_here_is_said_and_its_broker_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTDATA_BROKER", raising=False)
    make_folder(tmp_path)
    with MockBroker() as broker, Project(Path("data/state")) as project:
        monkeypatch.setenv("FASTDATA_STATE", "data/state")
        assert project.take()
        project.begin({"page": "http://127.0.0.1:8000", "broker": broker.address})
        broker.create("trips", 1)
        address = broker.address
        done = CliRunner().invoke(commands, ["status", "--json"])

    (source,) = json.loads(done.stdout)["sources"]
    assert 0 == source["partitions"][0]["log_end"]
    running = "fastdata: fastdata dev is running here: http://127.0.0.1:8000, broker"
    assert done.stderr.startswith(f"{running} {address} (embedded)\n")


def test_the_newest_replay_is_told_with_its_length_and_when_the_next_one_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTDATA_BROKER", "127.0.0.1:1")
    metric = make_folder(tmp_path)
    counted = PastRun(NOW, 6.25, number=1, end=7_200_000, counted=2, confirmed=3, next=NOW + 60_000)
    failed = PastRun(NOW + 60_000, 0.5, error="a hole in [partition 0]")

    async def fill() -> None:
        async with open_store("sqlite:///store.db") as store:
            for run in (counted, failed):
                await add_past_run(store, metric.id, run)

    asyncio.run(fill())

    lines = CliRunner().invoke(commands, ["status"]).stdout.splitlines()
    shown = json.loads(CliRunner().invoke(commands, ["status", "--json"]).stdout)

    at = lines.index("rides: never replayed")
    assert lines[at + 1 : at + 3] == [
        "  2023-11-14 22:14:20 UTC, took 0.5 s: failed: a hole in [partition 0]",
        "  the next one was due at 2023-11-14 22:14:20 UTC",
    ]
    (source,) = shown["sources"]
    assert [run.as_dict() for run in (failed, counted)] == source["past_runs"]["rides"]
    assert counted.as_dict() == {
        "began": "2023-11-14T22:13:20Z", "took_s": 6.25, "number": 1,
        "start": "1970-01-01T00:00:00Z", "end": "1970-01-01T02:00:00Z", "counted": 2,
        "confirmed": 3, "events": 0, "objects": 0, "object_bytes": 0, "error": None,
        "next": "2023-11-14T22:14:20Z",
    }  # fmt: skip
    assert (None, None) == (failed.as_dict()["start"], failed.as_dict()["end"])
