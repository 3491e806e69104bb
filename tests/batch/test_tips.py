"""What a replay counts of segments that are still open, by both engines."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fastdata import Count, Metric, Source, Sum, Uniques
from fastdata.answer.query import query
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.batch.job import Engine
from fastdata.batch.replay import replay
from fastdata.batch.reports import MetricReport
from fastdata.coordinates.dimensions import is_tip
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.failpoints import FailpointError, set_action
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Progress, ServingStore
from tests.answer.test_ready import BERLIN, fold_all, rows
from tests.batch.visits import Visits, local_ms

SCHEMA = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shop", "type": "string"},
        {"name": "amount", "type": "int"},
    ],
}
DAY = parse_instant("2024-05-01")
SIZE = 10
ENGINES: Sequence[Engine] = ("rows", "columns")


class Shops:
    """A source of two partitions, whose segments hold ten events, and its archive."""

    def __init__(self, folder: Path, by: Sequence[str | Sequence[str]] = ("shop",)) -> None:
        (folder / "sale.avsc").write_text(json.dumps(SCHEMA))
        self.source = Source(
            "sales", topic="sales", schema=str(folder / "sale.avsc"), time="at", id="id",
            segment_size=SIZE,
        )  # fmt: skip
        self.metric = Metric(
            "shops", self.source, by,
            measures={"n": Count(), "amount": Sum("amount"), "ids": Uniques("id")},
        )  # fmt: skip
        self.storage: ArchiveStorage = open_archive_storage("memory:///")
        self.decoder = Decoder(self.source, FolderRegistry(folder))

    async def archive(self, sales: Sequence[tuple[str, int, str]], partition: int = 0) -> None:
        """Append events of id, minute of the day and shop; one has its minute for an amount."""
        archive = PartitionArchive(self.storage, self.source, self.decoder, partition)
        for offset, (id, minute, shop) in enumerate(sales, await archive.open(0)):
            event = {"id": id, "at": DAY + minute * MINUTE_MS, "shop": shop, "amount": minute}
            value = encode(self.source.schema, event)
            archive.append(ArchivedRecord(offset, DAY, None, value))
        await archive.flush(force=True)

    async def replay(self, store: ServingStore, **options: object) -> MetricReport:
        chosen: dict[str, object] = {"workers": 0, **options}
        report = await replay(
            [self.metric],
            store=store,
            archive=self.storage,
            **chosen,  # type: ignore[arg-type]
        )
        return report.metrics[0]

    async def stored(self, store: ServingStore) -> dict[tuple[int, str], bytes]:
        """All that batch shows, tips with their partition."""
        source, metric = self.source, self.metric
        unfolded = unfolded_of(source).id
        read = await store.read(metric.id, unfolded, source.topic, DAY, DAY + 24 * HOUR_MS)
        return {(total.window, total.dims): total.state for total in read.totals}

    async def answer(self, store: ServingStore) -> dict[str, tuple[int, int, bool]]:
        """By shop: events, their amount, and whether both are exact."""
        await store.upsert([], [Progress("sales", p, 0, DAY + 48 * HOUR_MS, 0) for p in range(2)])
        table = await query(self.metric, every="all", by="shop", store=store)
        return {r["shop"]: (r["n"], r["amount"], r["exact"]) for r in table.to_pylist()}


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    return Shops(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as opened:
        yield opened


@pytest.mark.parametrize("engine", ENGINES)
async def test_six_events_are_exact_after_one_replay(
    shops: Shops, store: MemoryStore, engine: Engine
) -> None:
    await shops.archive([("a", 1, "x"), ("b", 2, "y"), ("c", 700, "x")])
    await shops.archive([("d", 3, "x"), ("e", 1, "x"), ("f", 2, "y")], partition=1)

    report = await shops.replay(store, engine=engine)

    assert await shops.answer(store) == {"x": (4, 705, True), "y": (2, 4, True)}
    assert report.coverage == Coverage({}, {0: 3, 1: 3})
    assert all(is_tip(dims) for _, dims in await shops.stored(store))


@pytest.mark.parametrize("by", [("shop",), (), [(), ("shop",)]])
async def test_both_engines_store_the_same_bytes(tmp_path: Path, by: Sequence[str]) -> None:
    shops = Shops(tmp_path, by)
    for partition in (0, 1):
        # Repeats of another partition, of a closed segment and within the open one.
        sales = [(f"s{n % 9 + 4 * partition}", 50 + n, "xyz"[n % 3]) for n in range(17)]
        await shops.archive(sales, partition)
    stores = MemoryStore(), MemoryStore()

    for engine, store in zip(ENGINES, stores, strict=True):
        await shops.replay(store, engine=engine)

    by_rows, by_columns = [await shops.stored(store) for store in stores]
    assert by_rows == by_columns
    assert {is_tip(dims) for _, dims in by_rows} == {True, False}


@pytest.mark.parametrize("engine", ENGINES)
async def test_of_a_repeat_the_one_in_a_closed_segment_counts(
    shops: Shops, store: MemoryStore, engine: Engine
) -> None:
    await shops.archive([("a", 1, "open")])
    await shops.archive([("a", 1, "closed"), *((f"{n}", 2, "x") for n in range(9))], partition=1)

    await shops.replay(store, engine=engine)

    assert await shops.answer(store) == {"closed": (1, 1, True), "x": (9, 18, True)}


async def test_an_hour_whose_tips_have_closed_is_counted_again(
    shops: Shops, store: MemoryStore
) -> None:
    await shops.archive([("a", 1, "x"), ("b", 2, "x")])
    await shops.replay(store)
    await shops.archive([(f"{n}", 700, "y") for n in range(8)])

    report = await shops.replay(store)

    assert report.recomputed == 2
    assert await shops.answer(store) == {"x": (2, 3, True), "y": (8, 5600, True)}
    assert not any(is_tip(dims) for _, dims in await shops.stored(store))


async def test_an_hour_whose_tips_stay_open_is_only_relabelled(
    shops: Shops, store: MemoryStore
) -> None:
    await shops.archive([("a", 1, "x")])
    await shops.replay(store)
    await shops.archive([("b", 700, "y")])

    report = await shops.replay(store)

    assert (report.recomputed, report.relabelled) == (1, 23)
    assert await shops.answer(store) == {"x": (1, 1, True), "y": (1, 700, True)}


async def test_a_replay_that_finds_nothing_new_writes_nothing(
    shops: Shops, store: MemoryStore
) -> None:
    await shops.archive([("a", 1, "x")])
    await shops.replay(store)

    report = await shops.replay(store)

    assert (report.run, report.recomputed, report.relabelled) == (None, 0, 0)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_tile_that_is_merged_while_a_replay_runs_is_read_from_its_segment(
    shops: Shops, store: MemoryStore, engine: Engine
) -> None:
    await shops.archive([("a", 1, "x"), ("b", 2, "y")])
    snapshot = shops.storage.names

    async def closing(prefix: str) -> list[str]:
        """The names of tiles as they were, before the segment is closed."""
        names = await snapshot(prefix)
        if prefix.startswith("manifest"):  # tiles were listed, and read, before
            shops.storage.names = snapshot  # type: ignore[method-assign]
        return names

    shops.storage.names = closing  # type: ignore[method-assign]
    original = shops.storage.get
    tiles: list[str] = []

    async def get(name: str) -> bytes | None:
        if name.startswith("tiles") and name.endswith(".avro") and not tiles:
            tiles.append(name)
            shops.storage.get = original  # type: ignore[method-assign]
            await shops.archive([(f"{n}", 700, "y") for n in range(8)])
        return await original(name)

    shops.storage.get = get  # type: ignore[method-assign]
    await shops.replay(store, engine=engine)

    assert tiles
    assert await original(tiles[0]) is None
    assert await shops.answer(store) == {"x": (1, 1, True), "y": (1, 2, True)}


async def test_a_run_whose_tiles_are_gone_is_finished_by_a_new_one(
    shops: Shops, store: MemoryStore
) -> None:
    await shops.archive([("a", 1, "x")])
    set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await shops.replay(store)
    await shops.archive([(f"{n}", 2, "x") for n in range(9)])

    report = await shops.replay(store, resume=True)

    assert report.run == 2
    assert await shops.answer(store) == {"x": (10, 19, True)}
    run = await store.last_run(shops.metric.id)
    assert run is not None
    assert run.is_done


async def test_an_undone_run_shows_the_tips_before(shops: Shops, store: MemoryStore) -> None:
    await shops.archive([("a", 1, "x")])
    await shops.replay(store)
    await shops.archive([("b", 2, "x")])
    await shops.replay(store)

    assert await store.undo(shops.metric.id, DAY)

    assert await shops.answer(store) == {"x": (1, 1, True)}


async def test_ready_windows_have_the_tips_beside_them(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day", "30d"), segment_size=50), MemoryStore()
    first = local_ms("2024-05-01", BERLIN)
    sent = [(first + n * HOUR_MS, "ab"[n % 2], n % 7) for n in range(72)]
    since = local_ms("2024-04-01", BERLIN)
    await world.archive(sent[:60])
    await world.replay(store, start=since)
    await world.archive(sent[60:], closes=False)
    await world.replay(store, start=since)
    await fold_all(store, world)

    for rolling in (None, "30d"):
        table = await query(
            world.metric, "2024-05-01", "2024-05-04", every="day", rolling=rolling, store=store
        )
        days = [24, 24, 24] if rolling is None else [24, 48, 72]
        assert [(n, 7, True) for n in days] == list(rows(table).values())
