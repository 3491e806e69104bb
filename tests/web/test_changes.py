"""The stream of changes: who is told what, and when it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from fastdata.web.changes import Changes
from fastdata.web.looks import Looks
from fastdata.web.readers import Readers
from tests.answer.trips import NOON, ONE, TWO, progress
from tests.web.serving import Served, fold

STREAM = "/api/v1/stream"


class Reader:
    """One who listens."""

    def __init__(self, response: httpx2.Response) -> None:
        self.headers = response.headers
        self._lines = response.aiter_lines()

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event; comments are passed over."""
        name = ""
        async for line in self._lines:
            kind, _, text = line.partition(": ")
            if kind == "event":
                name = text
            elif kind == "data":
                return name, json.loads(text)
        return "end", {}

    async def line(self) -> str:
        return await anext(self._lines)


@asynccontextmanager
async def listening(served: Served, words: str = "") -> AsyncIterator[Reader]:
    async with served.client.stream("GET", STREAM + words) as response:
        reader = Reader(response)
        assert ("open", {}) == await reader.event()
        yield reader


async def test_what_the_speed_layer_folds_is_told_with_its_hours(served: Served) -> None:
    async with listening(served) as reader:
        assert "text/event-stream; charset=utf-8" == reader.headers["content-type"]
        await fold(served, ONE, 3)
        assert (
            "change",
            {
                "metric": "rides",
                "start": "2013-01-01T13:00:00.000Z",
                "end": "2013-01-01T14:00:00.000Z",
                "fresh_until": "2013-01-01T14:00:00.000Z",
                "read_until": "2013-01-01T14:00:00.000Z",
            },
        ) == await reader.event()


async def test_windows_that_end_are_told(served: Served) -> None:
    async with listening(served) as reader, open_store(served.store) as store:
        await store.upsert([], [progress(TWO + 90_000)])
        _, change = await reader.event()
        assert ("14:00", "14:01:30") == (change["start"][11:16], change["end"][11:19])


async def test_what_is_read_without_a_change_is_told_without_an_interval(served: Served) -> None:
    async with listening(served) as reader, open_store(served.store) as store:
        further = replace(progress(TWO, read_until=TWO + 5_000), updated=TWO + 5_000)
        await store.upsert([], [further])
        name, change = await reader.event()
        assert "change" == name, change
        assert (None, None) == (change["start"], change["end"])
        assert "2013-01-01T14:00:05.000Z" == change["read_until"]


async def test_a_replay_is_told(served: Served) -> None:
    async with listening(served) as reader, open_store(served.store) as store:
        coverage = Coverage({0: 5})
        await store.open_run(served.metric.id, NOON, ONE, coverage)
        run = await store.open_run(served.metric.id, NOON, ONE, coverage)
        await store.write_totals(served.metric.id, run.number, {NOON: []})
        await store.publish(
            served.metric.id, [Flip(NOON, (1, Coverage({0: 3})), run.number, coverage, 0)]
        )
        _, change = await reader.event()
        assert "2013-01-01T12:00:00.000Z" == change["start"]


async def test_all_who_listen_are_told_by_one_poller(served: Served) -> None:
    desk = served.app.state.desk
    async with listening(served) as first, listening(served, "?metric=rides") as second:
        poller = desk.changes._poller
        await fold(served, ONE, 3)
        assert await first.event() == await second.event()
        assert poller is desk.changes._poller
    await asyncio.wait_for(poller, 10)  # nobody listens any more
    assert set() == desk.changes._listeners


async def test_a_metric_that_there_is_not_is_refused(served: Served) -> None:
    assert (404, "no metric 'ride'; did you mean 'rides'? Declared are: rides") == (
        await served.problem(f"{STREAM}?metric=ride")
    )


async def test_a_stream_ends_with_the_server(served: Served) -> None:
    async with listening(served) as reader:
        served.stop.set()
        assert "end" == (await asyncio.wait_for(reader.event(), 10))[0]
        await asyncio.wait_for(served.task, 10)


async def test_a_store_that_is_gone_is_told_and_so_is_what_it_comes_back_with(
    served: Served, tmp_path: Path
) -> None:
    file, away = tmp_path / "store.db", tmp_path / "away.db"
    async with listening(served) as reader:
        await fold(served, ONE, 3)
        await reader.event()
        file.rename(away)
        name, problem = await reader.event()
        assert "problem" == name
        assert "was removed" in problem["detail"] or "there is no store" in problem["detail"]
        away.rename(file)
        await fold(served, NOON, 4)
        while name == "problem":
            name, change = await reader.event()
        assert "2013-01-01T12:00:00.000Z" == change["start"]


async def test_a_reader_that_is_slow_is_told_of_all_changes_at_once() -> None:
    changes = Changes([], Looks(Readers("memory:", 0), 1), heartbeat_s=0.01)
    stream = changes.stream(["rides"])
    await anext(stream)
    for start in ("2013-01-02", "2013-01-01"):
        changes._tell("rides", {"metric": "rides", "start": start, "end": start})
    changes._tell("rides", {"metric": "rides", "start": None, "end": None})
    changes._tell("others", {"metric": "others", "start": "2012", "end": "2013"})
    told = (await anext(stream)).decode()
    assert {"metric": "rides", "start": "2013-01-01", "end": "2013-01-02"} == json.loads(
        told.partition("data: ")[2]
    )
    assert b": nothing new\n\n" == await anext(stream)
    changes.end()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
