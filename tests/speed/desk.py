"""An agent with a layer, and a group that has no broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP, StreamT
from faust.types.transports import ConsumerT
from faust.types.tuples import ConsumerMessage

from fastdata.speed.agent import SourceAgent
from fastdata.speed.state import Record
from fastdata.speed.transport import Chunk, FoldingConsumer, Holes
from tests.speed.conftest import NOW, Bench

TP0 = TP("events", 0)


class Group:
    """A consumer of one partition, with a log that begins and ends somewhere."""

    def __init__(self) -> None:
        self.holes = Holes()
        self.fetched: dict[TP, int] = {}
        self.seeks: list[dict[TP, int]] = []
        self.commits: list[Mapping[TP, int]] = []
        self.log_start, self.log_end, self.offset = 0, 100, 0
        self.recent: int | None = None  # the first offset that is not old
        self.asked_since = self.asked_start = 0
        self.is_dated = True  # the broker can say of some record when it was written
        self.flow_active = True
        self.paused = set[TP]()
        self.error: Exception | None = None

    def assignment(self) -> set[TP]:
        return {TP0}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        self.asked_start += 1
        return {tp: self.log_start if tp == TP0 else 0 for tp in tps}

    async def offsets_since(self, tps: list[TP], time_ms: int) -> dict[TP, int]:
        if not time_ms:
            return {TP0: self.log_start} if self.is_dated else {}
        self.asked_since = time_ms
        return {TP0: self.recent} if self.recent is not None else {}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        await asyncio.sleep(0)
        return {tp: self.log_end if tp == TP0 else 0 for tp in tps}

    async def committed(self, tps: Sequence[TP]) -> dict[TP, int | None]:
        return dict.fromkeys(tps, self.offset or None)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.seeks.append(offsets)
        if self.error is not None:
            raise self.error

    def pause_partitions(self, tps: set[TP]) -> None:
        self.paused = tps

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append(offsets)
        return True

    def reach(self, tp: TP) -> tuple[int, int, int] | None:
        return self.fetched.get(tp, 0), self.log_end, 1


class Desk:
    """An agent with a layer of the bench, in generation 7 of a group."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.app = faust.App(
            "shop", broker="kafka://localhost:1", store="memory://", datadir=folder
        )
        self.failures: list[tuple[str, BaseException]] = []
        fail = lambda what, error: self.failures.append((what, error))  # noqa: E731
        self.agent = SourceAgent(self.app, bench.source, fail)
        self.group = Group()
        self.app.consumer = cast(ConsumerT, self.group)
        self.app.consumer_generation_id = 7
        self.layer = bench.layer()
        self.agent.layer = self.layer
        self.is_chunked = True

    async def open(self) -> None:
        await self.agent.open(cast(FoldingConsumer, self.group))
        await self.agent.settle()
        self.group.seeks.clear()

    async def deliver(
        self, *offsets: int, generation: int = 7, broken: bool = False, page: str = "a"
    ) -> None:
        class Stream:
            async def events(self) -> AsyncIterator[faust.Event]:
                for event in events:
                    yield event

        records = [
            Record(offset, NOW, b"k", self.bench.record(offset, page=page, size=1).value)
            for offset in offsets
        ]
        if broken:
            records = [replace(record, value=b"?") for record in records]
        values: list[Any] = [Chunk(records)] if self.is_chunked else [r.value for r in records]
        events = []
        for value, offset in zip(values, offsets, strict=False):
            message = ConsumerMessage(
                "events", 0, offset, NOW / 1000, 0, None, b"k", value, None, tp=TP0,
                generation_id=generation,
            )  # fmt: skip
            events.append(faust.Event(self.app, None, value, {}, message))
        await self.agent._run(cast(StreamT[bytes], Stream()))

    @property
    def position(self) -> int:
        return self.layer.partitions[0].position

    async def folded(self) -> int:
        """How many events the store counts after a flush."""
        await self.agent.flush()
        return sum((await self.bench.counts()).values())
