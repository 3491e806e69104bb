"""A topic that a table is exported to, as one who consumes it sees it."""

import asyncio
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastavro
import pytest

from fastdata.events.schema import HEAD_BYTES
from fastdata.kafka.connection import Broker
from fastdata.kafka.reading import TopicReader
from tests.exports.rides import Rows
from tests.support.mockbroker import MockBroker


class Topic:
    """The topic `rides`, whose schema is a file of a folder."""

    url = "kafka://rides"

    def __init__(self, broker: str, schemas: Path) -> None:
        self.schemas = schemas
        self.events: list[dict[str, Any]] = []
        self.broker = broker

    def rows(self, table: str = "rides_1h", bounds: bool = False) -> Rows:
        """The newest event of each row, without what only events have."""
        with ThreadPoolExecutor(1) as thread:  # beside the loop of the test
            records = thread.submit(asyncio.run, self._read()).result()
        self.events = []
        self._rows: dict[bytes, dict[str, Any]] = {}
        self._sums: dict[bytes, defaultdict[str, Any]] = defaultdict(lambda: defaultdict(int))
        for key, value in records:
            self._see(key, value)
        ends = ("_change", *(() if bounds else ("_lower", "_upper")))
        of_events = ("revision", "change_id")
        rows = [
            {n: v for n, v in row.items() if n not in of_events and not n.endswith(ends)}
            for row in self._rows.values()
            if row["layer"] is not None
        ]
        return sorted(rows, key=lambda row: row["window_start"])

    async def _read(self) -> list[tuple[bytes, bytes]]:
        async with TopicReader(Broker(self.broker), "test") as reader:
            return [(record.key, record.value) async for record in reader.read("rides")]

    async def decoded(self) -> list[dict[str, Any]]:
        """All events as they are, in no order of all partitions."""
        return [self._decode(value) for _, value in await self._read()]

    def _decode(self, value: bytes) -> dict[str, Any]:
        schema = json.loads((self.schemas / "rides.avsc").read_text())
        row = fastavro.schemaless_reader(io.BytesIO(value[HEAD_BYTES:]), schema, None)
        assert isinstance(row, dict)
        return row

    def _see(self, key: bytes, value: bytes) -> None:
        row = self._decode(value)
        before, sums = self._rows.get(key), self._sums[key]
        assert row["revision"] == (before["revision"] + 1 if before else 1)
        for name in [name for name in row if name.endswith("_change")]:
            sums[name] += row[name]
            assert sums[name] == (row[name.removesuffix("_change")] or 0)
        self._rows[key] = row
        self.events.append(row)
        ids = [event["change_id"] for event in self.events]
        assert len(set(ids)) == len(ids)


@contextmanager
def open_topic(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    schemas = folder / "rides of a topic"
    schemas.mkdir()
    with MockBroker() as broker:
        monkeypatch.setenv("FASTDATA_BROKER", broker.address)
        monkeypatch.setenv("FASTDATA_REGISTRY", str(schemas))
        yield Topic(broker.address, schemas)
