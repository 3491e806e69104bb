"""Flat tables in a real OpenSearch: what readers see, and what a crash leaves."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fastdata import Histogram, Max, Mean, Metric, Sum, export, failpoints
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ExportError, StoreUnavailableError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from tests.answer.trips import NO_FIELDS, NOON, declare, declare_source
from tests.exports.rides import Changes, Rows, answer, comparable, replay_hours
from tests.support.services.opensearch import OpenSearchNode

HOURS = [NOON + n * HOUR_MS for n in range(12)]


class Flat:
    """A node without indices, and how a tool reads it."""

    def __init__(self, node: OpenSearchNode) -> None:
        self.node = node
        self.url = node.url

    def documents(self, table: str = "rides_1h") -> Rows:
        body = {"size": 10_000, "sort": ["window_start"]}
        found: Any = self.node.ask("POST", f"/{table}/_search", body)
        return [hit["_source"] for hit in found["hits"]["hits"]]

    def rows(self, table: str = "rides_1h") -> Rows:
        return list(map(_as_answered, self.documents(table)))


def _as_answered(row: dict[str, Any]) -> dict[str, object]:
    del row["row_key"], row["row_digest"]
    instants = ("window_start", "window_end", "read_until", "updated_at")
    return row | {n: row[n] and datetime.fromisoformat(row[n]) for n in instants}


@pytest.fixture
def flat(opensearch: OpenSearchNode) -> Iterator[Flat]:
    yield Flat(opensearch)
    opensearch.ask("DELETE", "/rides*,fastdata_export_marks?ignore_unavailable=true")


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, flat: Flat, every: str
) -> None:
    changes = Changes(7, rides, store)
    table = flat_table(rides, every, has_bounds=True)
    async with Exporter(table, flat.url, store=store) as exporter:
        for _ in range(15):
            what = await changes.happen()
            await exporter.refresh()
            expected = comparable(await answer(rides, store, every, bounds=True))
            assert expected == comparable(flat.rows(table.name)), what
            assert 0 == (await exporter.refresh()).refreshed


async def test_rolling_days_are_the_answer(rides: Metric, store: MemoryStore, flat: Flat) -> None:
    await replay_hours(rides, store, HOURS)
    table = flat_table(rides, "day", rolling="3d")
    async with Exporter(table, flat.url, store=store) as exporter:
        assert 0 < (await exporter.refresh()).rows
        before = flat.rows(table.name)
        await replay_hours(rides, store, HOURS[:1], km=9)
        await exporter.refresh()
    assert before != flat.rows(table.name)
    assert len(before) == len(flat.rows(table.name))


async def test_an_export_that_ends_before_its_marks_goes_on(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(rides, store, HOURS[:5], km=9)
    failpoints.set_action("export.before_marks", "raise")
    with pytest.raises(FailpointError):
        await export(rides, flat.url, store=store)
    assert sorted([9] + [5] * 11) == sorted(row["km"] for row in flat.rows())  # type: ignore[type-var]
    failpoints.reset()

    assert 4 == (await export(rides, flat.url, store=store)).rows  # the first one is there
    assert 0 == (await export(rides, flat.url, store=store)).refreshed

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_another_definition_is_shown_when_it_holds_all(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    new = Metric("rides", rides.source, by=rides.by, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(new, store, HOURS, km=8)
    failpoints.set_action("export.before_marks", "raise")
    with pytest.raises(FailpointError):
        await export(new, flat.url, store=store)
    assert [5] * 12 == [row["km"] for row in flat.rows()]
    failpoints.reset()

    assert (await export(new, flat.url, store=store)).swapped

    assert [8] * 12 == [row["most"] for row in flat.rows()]
    await replay_hours(rides, store, HOURS[:1], km=7)
    assert (await export(rides, flat.url, store=store)).swapped
    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_the_table_of_another_metric_is_not_taken(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    other = Metric("others", rides.source, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    with pytest.raises(ExportError, match="is of the metric 'rides'"):
        await export(other, flat.url, store=store, table="rides_1h")


async def test_a_server_that_is_not_there_is_told(rides: Metric, store: MemoryStore) -> None:
    with pytest.raises(StoreUnavailableError, match="is the server running") as caught:
        await export(rides, "opensearch://reader:secret@127.0.0.1:1", store=store)
    assert "secret" not in str(caught.value)
    assert caught.value.retriable


async def test_values_keep_their_types(store: MemoryStore, flat: Flat, tmp_path: Path) -> None:
    by = ["day", "is_night", "at", "city"]
    metric = Metric(
        "rides",
        declare_source(tmp_path),
        by=by,
        measures={"fare": Sum("fare"), "mean": Mean("km"), "kms": Histogram("km", edges=[0, 5, 9])},
    )
    states = metric.zero()
    fields = NO_FIELDS | {"fare": Decimal("1.25"), "km": 6, "day": 1, "is_night": True, "at": 5}
    metric.add(states, fields)
    rows: list[list[Dimension]] = [
        [1, True, 5, "\N{SNOWMAN}\\'"],
        [None, None, 1 << 60, None],
        [2, False, 6, "long" * 10_000],
    ]
    for dims in rows:
        one = Partial(metric.id, NOON, dump_dims(dims), 0, 3, 301, metric.dump(states))
        await store.upsert([one], [])

    await export(metric, flat.url, store=store)

    row, null, long = sorted(flat.documents(), key=lambda row: str(row["day"] or "1970-01-02T"))
    at = "1970-01-01T00:00:00.005000+00:00"
    assert ["1970-01-02", True, at, "\N{SNOWMAN}\\'"] == [row[name] for name in by]
    assert [None] * 4 == [null[name] for name in by]
    assert [1.25, 6.0, [0, 0, 1, 0]] == [row["fare"], row["mean"], row["kms"]]
    assert "long" * 10_000 == long["city"]
    (index,) = flat.node.ask("GET", "/rides_1h/_mapping").values()  # type: ignore[attr-defined]
    types = {name: field.get("type") for name, field in index["mappings"]["properties"].items()}
    expected = {"fare": "double", "window_start": "date", "city": "keyword", "is_night": "boolean"}
    assert expected.items() <= types.items()


async def test_what_is_not_there_any_more_is_deleted(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    states = rides.zero()
    rides.add(states, NO_FIELDS | {"km": 1, "city": "Oslo"})
    one = Partial(rides.id, NOON, dump_dims(["Oslo", 1]), 0, 3, 301, rides.dump(states))
    await store.upsert([one], [])
    async with Exporter(flat_table(rides, "1h"), flat.url, store=store) as exporter:
        await exporter.refresh()
        assert 1 == len(flat.rows())
        await replay_hours(rides, store, HOURS[:1])
        await exporter.refresh()
    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_an_index_that_was_deleted_is_made_again(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    flat.node.ask("DELETE", f"/rides_1h_{flat_table(rides, '1h').definition}")

    assert 12 == (await export(rides, flat.url, store=store)).rows

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_what_no_export_made_is_never_touched(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    flat.node.ask("PUT", "/rides_1h/_doc/1?refresh=true", {"whose": "mine"})
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, flat.url, store=store)
    found: Any = flat.node.ask("GET", "/rides_1h/_search")
    assert [{"whose": "mine"}] == [hit["_source"] for hit in found["hits"]["hits"]]


async def test_a_node_that_was_away_is_written_to_again(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    async with Exporter(flat_table(rides, "1h"), flat.url, store=store) as exporter:
        await exporter.refresh()
        await replay_hours(rides, store, HOURS[:5], km=9)
        flat.node.kill()
        with pytest.raises(StoreUnavailableError, match="is the server running") as caught:
            await exporter.refresh()
        assert caught.value.retriable
        flat.node.start()
        await exporter.refresh()

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_a_name_that_no_index_can_have_is_told(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    with pytest.raises(ExportError, match="small letters"):
        await export(rides, flat.url, store=store, table="Rides")
