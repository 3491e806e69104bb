"""Whoever asks for dimensions is answered of one grouping set, and told which there are."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fastdata import Metric
from fastdata.answer.merge import Buckets
from fastdata.answer.query import query as ask
from fastdata.cli.compare import compare
from fastdata.cli.export import export
from fastdata.cli.query import query
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.segments import Coverage
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Reading, ServingStore, Total
from tests.answer.folder import declare_folder
from tests.answer.trips import NOON, ONE, TWO, head, merge, progress, reading

DECLARATION = """
from fastdata import Count, Metric, Sets, Source

trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
rides = Metric(
    "rides", trips, by=[(), ("city",), ("line", "is_night")],
    measures={"n": Count(), "who": Sets("rider")},
)
"""
COMMANDS = {"query": query, "compare": compare, "export": export}
HAVE = "its sets are: (), (city), (line, is_night)"
Trip = tuple[str | None, int, bool, str]
OLD: list[Trip] = [("Oslo", 1, False, "anna"), ("Oslo", 1, True, "ben"), (None, 2, True, "anna")]
NEW: list[Trip] = [(None, 1, True, "carl")]


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Batch counted three trips; the speed layer folded one of the next hour."""
    monkeypatch.chdir(tmp_path)
    metric = declare_folder(tmp_path, DECLARATION)
    asyncio.run(fill_file(metric))
    return metric


def cells(metric: Metric, trips: list[Trip], exact: bool) -> list[tuple[str, bytes]]:
    states: dict[str, list[object]] = {}
    for trip in trips:
        fields = dict(zip(("city", "line", "is_night", "rider"), trip, strict=True))
        for dims, several in metric.rows(fields):
            for values in several:
                metric.add_values(states.setdefault(dump_dims(dims), metric.zero(exact)), values)
    return [(dims, metric.dump(each)) for dims, each in states.items()]


async def fill_file(metric: Metric) -> None:
    async with open_store("sqlite:///store.db") as store:
        await fill(metric, store)


async def fill(metric: Metric, store: ServingStore) -> None:
    totals = [Total(NOON, *cell) for cell in cells(metric, OLD, exact=True)]
    await store.write_totals(metric.id, 1, {NOON: totals})
    await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), len(totals))])
    partials = [
        Partial(metric.id, ONE, dims, 0, 3, 300, state)
        for dims, state in cells(metric, NEW, exact=False)
    ]
    await store.upsert(partials, [progress(TWO)])


def run(command: str, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(COMMANDS[command], [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ([], [[4]]),
        (["city"], [[None, 2], ["Oslo", 2]]),
        (["line"], [[1, 3], [2, 1]]),
        (["is_night", "line"], [[False, 1, 1], [True, 1, 2], [True, 2, 1]]),
    ],
)
def test_each_event_is_in_an_answer_once(
    rides: Metric, by: list[str], expected: list[list[object]]
) -> None:
    answer = run("query", "rides", "--every", "all", "--by", ",".join(by))

    assert answer["by"] == by
    assert [[row[name] for name in (*by, "n")] for row in answer["rows"]] == expected


class Watched(MemoryStore):
    """A store that remembers what was read of it."""

    async def read(self, *args: Any, **options: Any) -> Reading:
        self.last = await super().read(*args, **options)
        return self.last


async def test_only_rows_of_one_set_are_read(rides: Metric) -> None:
    async with Watched() as store:
        await fill(rides, store)
        for by, begin in ([], "[0]"), (["city"], "[1,"), (["line"], "[2,"):
            await ask(rides, by=by, store=store)
            read = [row.dims for row in store.last.totals]
            read += [row.dims for row in store.last.partials]
            assert {begin} == {dims[:3] for dims in read}


def test_a_reading_of_all_sets_is_answered_of_one(rides: Metric) -> None:
    totals = [Total(NOON, *cell) for cell in cells(rides, OLD, exact=True)]
    stored = reading([head(NOON)], totals)

    found = {by: merge(rides, stored, Buckets(NOON, ONE, None), by) for by in ((), ("city",))}

    assert [[(row.dims, row.estimates[0].value) for row in rows] for rows in found.values()] == [
        [((), 3)],
        [((None,), 1), (("Oslo",), 2)],
    ]


def test_a_comparison_is_of_one_set(rides: Metric) -> None:
    sides = ["--left", "line=1", "--right", "is_night=true"]
    (row,) = run("compare", "rides", "who", *sides)["rows"]

    assert [row[name] for name in ("left", "right", "union", "intersection")] == [3, 3, 3, 3]


def test_a_table_is_of_one_set(rides: Metric, tmp_path: Path) -> None:
    report = run("export", "rides", "--every", "1d", "--by", "line,is_night", "--to", "flat")

    assert (report["table"], report["rows"]) == ("rides_1d_by_line_is_night", 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["query", "rides", "--by", "city,line"], f"city, line; {HAVE}"),
        (["compare", "rides", "who", "--left", "city=Oslo", "--right", "line=1"],
         f"city, line; {HAVE}"),
        (["export", "rides", "--to", "flat"],
         f"city, line, is_night; {HAVE}; say with `by` by which dimensions the table is to be"),
    ],
)  # fmt: skip
def test_what_no_set_holds_is_refused(rides: Metric, arguments: list[str], said: str) -> None:
    command, *rest = arguments
    result = CliRunner().invoke(COMMANDS[command], rest)

    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == f"metric 'rides' has no grouping set that holds {said}"
