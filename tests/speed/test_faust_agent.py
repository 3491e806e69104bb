"""The agent between Faust and the layer: what it folds, leaves alone and reads again."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP, StreamT
from faust.types.transports import ConsumerT
from faust.types.tuples import ConsumerMessage

from fastdata import failpoints
from fastdata.errors import MapError
from fastdata.speed.agent import SourceAgent
from fastdata.speed.state import Record
from fastdata.speed.transport import Chunk, FoldingConsumer, Hole
from tests.speed.conftest import NOW, Bench

TP0 = TP("events", 0)


class Group:
    """A consumer of one partition, with a log that begins and ends somewhere."""

    def __init__(self) -> None:
        self.holes: dict[TP, dict[int, Hole]] = {}
        self.fetched: dict[TP, int] = {}
        self.seeks: list[dict[TP, int]] = []
        self.commits: list[Mapping[TP, int]] = []
        self.log_start, self.log_end, self.offset = 0, 100, 0
        self.flow_active = True
        self.paused = set[TP]()
        self.error: Exception | None = None

    def assignment(self) -> set[TP]:
        return {TP0}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.log_start if tp == TP0 else 0 for tp in tps}

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


@pytest.fixture(params=["as one message", "one by one"])
async def desk(bench: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    desk = Desk(bench, tmp_path)
    desk.is_chunked = request.param == "as one message"
    await desk.open()
    return desk


async def test_events_are_folded_in_the_order_of_the_log(desk: Desk) -> None:
    await desk.deliver(0, 1, 2)

    assert desk.position == 3
    assert await desk.folded() == 3


async def test_events_that_were_folded_already_are_left_alone(desk: Desk) -> None:
    await desk.deliver(0, 1, 2)
    await desk.deliver(1, 2, 3)

    assert desk.position == 4
    assert await desk.folded() == 4


async def test_events_of_an_older_generation_are_left_alone(desk: Desk) -> None:
    await desk.deliver(0, 1, generation=6)

    assert desk.position == 0


async def test_events_of_a_partition_that_is_not_open_are_left_alone(
    bench: Bench, tmp_path: Path
) -> None:
    desk = Desk(bench, tmp_path)

    await desk.deliver(0, 1)

    assert await desk.folded() == 0


async def test_missing_events_are_read_again_and_nothing_is_folded_over_them(desk: Desk) -> None:
    await desk.deliver(0, 1, 5, 6)

    assert desk.position == 2
    assert desk.group.seeks == [{TP0: 2}]

    await desk.deliver(2, 3, 4, 5, 6)
    assert desk.position == 7


async def test_a_hole_of_the_log_is_folded_over(desk: Desk) -> None:
    desk.group.holes[TP0] = {5: (2, False)}
    await desk.deliver(0, 1, 5)

    assert desk.position == 6
    assert desk.group.seeks == []


async def test_a_hole_at_the_head_of_a_fetch_is_folded_over_while_the_log_has_its_start(
    desk: Desk,
) -> None:
    desk.group.holes[TP0] = {5: (2, True)}
    await desk.deliver(0, 1, 5)

    assert desk.position == 6


async def test_a_hole_of_the_log_behind_missing_events_is_not_folded_over(desk: Desk) -> None:
    desk.group.holes[TP0] = {9: (7, False)}
    await desk.deliver(0, 1, 9)

    assert desk.position == 2
    assert desk.group.seeks == [{TP0: 2}]


async def test_what_retention_has_taken_from_under_a_worker_is_recorded_as_a_gap(
    desk: Desk,
) -> None:
    desk.group.log_start = 25
    desk.group.holes[TP0] = {25: (2, True)}
    await desk.deliver(0, 1, 25)

    (gap,) = await desk.bench.store.gaps("events")
    assert (gap.start, gap.end) == (2, 30)
    assert desk.group.seeks == [{TP0: 30}]


async def test_an_unclear_hole_is_read_again_once_in_a_while_only(desk: Desk) -> None:
    await desk.deliver(5, 6, 7)

    assert len(desk.group.seeks) == 1


async def test_a_seek_that_fails_because_the_group_changes_is_no_failure(desk: Desk) -> None:
    desk.group.error = IllegalStateError("no current assignment")
    desk.group.flow_active = False
    await desk.deliver(5)

    assert desk.failures == []


async def test_a_bug_in_a_map_function_ends_the_process(desk: Desk) -> None:
    @desk.bench.source.map
    def broken(event: dict[str, object]) -> dict[str, object]:
        raise ZeroDivisionError

    await desk.deliver(0)

    ((what, error),) = desk.failures
    assert what == "folding events"
    assert isinstance(error, MapError)


async def test_where_a_map_function_raises_partitions_go_until_the_group_changes(
    bench: Bench, tmp_path: Path
) -> None:
    is_mended = False

    @bench.source.map
    def breaking(event: dict[str, object]) -> dict[str, object]:
        if event["page"] == "c" and not is_mended:
            raise ZeroDivisionError
        return event

    desk = Desk(bench, tmp_path)
    await desk.open()
    await desk.deliver(0, 1)
    await desk.agent.flush()
    await desk.deliver(2)
    await desk.deliver(3, page="c")
    await desk.deliver(4)

    assert (desk.agent.live, desk.layer.partitions, desk.group.paused) == ([], {}, {TP0})
    # What came since the last flush is let go, and nothing is committed of it.
    desk.group.commits.clear()
    assert await desk.folded() == 2
    assert desk.group.commits == []

    desk.group.offset = 2
    await desk.open()
    assert desk.agent.failure is None
    is_mended = True
    await desk.deliver(2, 3, 4)
    assert await desk.folded() == 5


async def test_a_failing_flush_ends_the_process(desk: Desk) -> None:
    await desk.deliver(0)
    failpoints.set_action("flush.before_table", "raise")

    await desk.agent.flush()

    assert [what for what, _ in desk.failures] == ["flushing fastdata-events"]


async def test_a_bad_event_does_not_stop_the_stream(desk: Desk) -> None:
    await desk.deliver(0, broken=True)
    await desk.deliver(1)
    await desk.agent.flush()

    (record,) = (letter.record for letter in desk.bench.letters)
    assert (record.offset, record.timestamp, record.key, record.value) == (0, NOW, b"k", b"?")
    assert desk.position == 2


async def test_a_full_layer_is_flushed_before_the_next_event(bench: Bench, tmp_path: Path) -> None:
    desk = Desk(bench, tmp_path)
    desk.layer = desk.agent.layer = bench.layer(max_dirty=1)
    await desk.open()

    await desk.deliver(0, 1, 2)

    assert desk.bench.order == ["commit"] * 3


async def test_a_cancelled_caller_does_not_stop_a_flush(desk: Desk) -> None:
    await desk.deliver(0)
    caller = asyncio.ensure_future(desk.agent.flush())
    await asyncio.sleep(0)
    caller.cancel()
    await desk.agent.flush()

    assert desk.failures == []
    assert desk.bench.committed == {0: 1}


async def test_only_live_partitions_are_committed(desk: Desk) -> None:
    assert await desk.agent.commit({0: 5, 3: 9})
    assert desk.group.commits == [{TP0: 5}]

    desk.app.consumer_generation_id = 8
    assert not await desk.agent.commit({0: 6})


async def test_revoked_partitions_are_flushed_and_let_go(desk: Desk) -> None:
    await desk.deliver(0, 1)
    await desk.agent.revoke({TP0, TP("another", 0)})
    await desk.deliver(2)

    assert desk.bench.committed == {0: 2}
    assert desk.layer.partitions == {}
    assert desk.agent.live == []


async def test_opening_seeks_to_where_the_state_is(desk: Desk) -> None:
    await desk.deliver(0, 1, 2)
    await desk.agent.revoke({TP0})
    desk.group.offset = 1  # the last commit was refused

    await desk.agent.open(cast(FoldingConsumer, desk.group))

    assert desk.group.seeks == [{TP0: 1}]
    assert desk.agent.live == [0]


async def test_opening_is_given_up_when_the_group_has_changed_meanwhile(desk: Desk) -> None:
    opening = asyncio.ensure_future(desk.agent.open(cast(FoldingConsumer, desk.group)))
    await asyncio.sleep(0)
    desk.app.consumer_generation_id = 8
    await opening

    assert desk.group.seeks == []


async def test_a_partition_that_is_behind_shows_its_progress_and_an_idle_one_none(
    desk: Desk,
) -> None:
    desk.group.fetched[TP0] = 40
    await desk.deliver(0, 1)
    behind = {sign.name: sign.progress for sign in desk.agent.signs()}
    desk.group.fetched[TP0] = desk.group.log_end = 2
    idle = {sign.name: sign.progress for sign in desk.agent.signs()}

    assert behind == {"the flush of fastdata-events": None, "events/0": (2, 40, 0)}
    assert idle == {"the flush of fastdata-events": None, "events/0": None}
    assert desk.layer.partitions[0].is_at_end


async def test_markers_at_the_end_of_the_log_do_not_make_a_partition_late(desk: Desk) -> None:
    desk.group.log_end = 3  # one record more than there are events: the end of a transaction
    await desk.deliver(0, 1)
    desk.group.fetched[TP0] = 2
    desk.group.reach = lambda tp: (3, 3, 1)  # type: ignore[method-assign]

    assert {sign.progress for sign in desk.agent.signs()} == {None}
    assert desk.layer.partitions[0].is_at_end


async def test_an_event_whose_map_function_raises_takes_what_follows_in_its_chunk_along(
    bench: Bench, tmp_path: Path
) -> None:
    taken: list[object] = []

    @bench.source.map
    def breaking(event: dict[str, object]) -> dict[str, object]:
        taken.append(event)
        return event if len(taken) < 3 else event["no such field"]  # type: ignore[return-value]

    desk = Desk(bench, tmp_path)
    await desk.open()
    await desk.deliver(0, 1, 2, 3, 4)

    assert len(taken) == 3
    assert (desk.agent.live, desk.layer.partitions) == ([], {})


async def test_the_loop_turns_while_a_long_chunk_is_folded(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdata.speed.agent._STRETCH_S", -1.0)
    desk = Desk(bench, tmp_path)
    await desk.open()
    positions = []

    async def look() -> None:
        while desk.position < 5:
            positions.append(desk.position)
            await asyncio.sleep(0)

    await asyncio.gather(desk.deliver(0, 1, 2, 3, 4), look())

    assert positions == [1, 2, 3, 4]


async def test_what_follows_in_a_chunk_is_left_alone_when_the_group_changes_meanwhile(
    bench: Bench, tmp_path: Path
) -> None:
    desk = Desk(bench, tmp_path)
    desk.layer = desk.agent.layer = bench.layer(max_dirty=1)
    await desk.open()
    flush = desk.agent.flush

    async def lose_partition() -> None:
        await flush()
        desk.app.consumer_generation_id = 8

    desk.agent.flush = lose_partition  # type: ignore[method-assign]
    await desk.deliver(0, 1, 2)

    assert desk.position == 1
