"""The agent between Faust and a function of a user: what it gets, and what comes again."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import faust
import pytest
from faust.types import StreamT
from faust.types.transports import ConsumerT
from faust.types.tuples import ConsumerMessage

from fastdata.errors import AgentError, BrokerError, DeclarationError, SchemaNeededError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema
from fastdata.speed.event_agent import AgentEvent, EventAgent
from fastdata.speed.event_agents import EventAgents
from fastdata.speed.state import Record
from fastdata.speed.transport import Chunk, FoldingConsumer
from tests.speed.conftest import NOW, Bench
from tests.speed.desk import TP0, Group


class Reading:
    """An agent in generation 7 of a group, whose function notes what it gets."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.app = faust.App(
            "shop", broker="kafka://localhost:1", store="memory://", datadir=folder
        )
        self.failures: list[tuple[str, BaseException]] = []
        self.events: list[AgentEvent] = []
        self.raised: dict[int, Exception] = {}  # by offset
        fail = lambda what, error: self.failures.append((what, error))  # noqa: E731
        self.agent = EventAgent(self.app, bench.source, self.note, fail)
        self.agent.registry = registry = FolderRegistry(bench.folder)
        self.agent.decoder = Decoder(bench.source, registry)
        self.agent.letters = bench
        self.group = Group()
        self.app.consumer = cast(ConsumerT, self.group)
        self.app.consumer_generation_id = 7

    async def note(self, events: AsyncIterator[AgentEvent]) -> None:
        async for event in events:
            if error := self.raised.get(event.offset):
                raise error
            self.events.append(event)

    async def open(self) -> None:
        await self.agent.open(cast(FoldingConsumer, self.group))
        self.group.seeks.clear()

    @property
    def offsets(self) -> list[int]:
        return [event.offset for event in self.events]

    @property
    def position(self) -> int | None:
        return self.agent._positions.get(TP0.partition)

    async def deliver(self, *records: Record | int, generation: int = 7) -> None:
        """Records, or those of the bench by their offsets; each as a message, and all as one."""
        made = [r if isinstance(r, Record) else self.bench.record(r, page="a") for r in records]
        messages = [
            ConsumerMessage(
                "events", 0, record.offset, NOW / 1000, 0, [], record.key,
                cast(Any, value), None, tp=TP0, generation_id=generation,
            )
            for record, value in [*((r, r.value) for r in made), (made[0], Chunk(made))]
        ]  # fmt: skip
        await self._run(messages)

    async def _run(self, messages: Sequence[ConsumerMessage]) -> None:
        class Stream:
            async def events(self) -> AsyncIterator[faust.Event]:
                for message in messages:
                    yield faust.Event(app, None, message.value, {}, message)

        app = self.app
        await self.agent._run(cast(StreamT[Any], Stream()))


@pytest.fixture
async def reading(bench: Bench, tmp_path: Path) -> Reading:
    reading = Reading(bench, tmp_path)
    await reading.open()
    return reading


async def test_each_event_comes_once_in_order_however_often_it_is_delivered(
    reading: Reading,
) -> None:
    await reading.deliver(0, 1, 2)
    await reading.deliver(1, 2, 3)

    assert reading.offsets == [0, 1, 2, 3]
    assert reading.position == 4
    first = reading.events[0]
    assert (first["page"], first.time, first.partition, first.timestamp) == ("a", NOW, 0, NOW)


async def test_it_begins_where_the_group_has_come(bench: Bench, tmp_path: Path) -> None:
    reading = Reading(bench, tmp_path)
    reading.group.offset = 2
    await reading.agent.open(cast(FoldingConsumer, reading.group))
    await reading.deliver(1, 2, 3)

    assert reading.group.seeks == [{TP0: 2}]
    assert reading.offsets == [2, 3]


@pytest.mark.parametrize("committed", [500, 3])
async def test_where_the_log_does_not_hold_its_place_it_begins_anew(
    bench: Bench, tmp_path: Path, committed: int
) -> None:
    reading = Reading(bench, tmp_path)
    reading.group.offset, reading.group.log_start = committed, 10
    await reading.open()

    assert reading.position == 10


async def test_events_of_an_older_generation_are_left_alone(reading: Reading) -> None:
    await reading.deliver(0, 1, generation=6)

    assert reading.offsets == []
    assert reading.position == 0


async def test_what_faust_has_lost_is_read_again_before_what_comes_after(reading: Reading) -> None:
    await reading.deliver(0, 1, 5, 6)

    assert reading.offsets == [0, 1]
    assert reading.group.seeks == [{TP0: 2}]

    await reading.deliver(2, 3, 4, 5, 6)
    assert reading.offsets == [0, 1, 2, 3, 4, 5, 6]


async def test_what_comes_after_something_lost_is_left_without_a_question_for_each(
    reading: Reading,
) -> None:
    reading.group.asked_start = 0
    await reading.deliver(0, 1, *range(5, 50))

    assert reading.offsets == [0, 1]
    assert reading.group.asked_start == 1  # it waits for a fetch of its connection: 1.5 s


async def test_a_hole_of_the_log_is_passed_over(reading: Reading) -> None:
    reading.group.holes[TP0] = {3: (1, False)}
    await reading.deliver(0, 3)

    assert reading.offsets == [0, 3]
    assert reading.position == 4


async def test_what_kafka_has_deleted_is_passed_over(reading: Reading) -> None:
    await reading.deliver(0)
    reading.group.log_start = 5
    await reading.deliver(5)
    await reading.deliver(5)

    assert reading.offsets == [0, 5]


async def test_what_cannot_be_read_is_a_dead_letter_and_the_next_one_comes(
    reading: Reading,
) -> None:
    await reading.deliver(0, Record(1, NOW, b"k", b"?"), 2)

    assert reading.offsets == [0, 2]
    (letter,) = reading.bench.letters
    assert (letter.record.value, letter.stage, letter.reason) == (b"?", "decode", "no-magic")
    assert reading.position == 3


async def test_what_the_map_function_drops_does_not_come(bench: Bench, tmp_path: Path) -> None:
    bench.source.map(lambda event: None if event["page"] == "robot" else event)
    reading = Reading(bench, tmp_path)
    await reading.open()
    await reading.deliver(0, bench.record(1, page="robot"), 2)

    assert reading.offsets == [0, 2]
    assert reading.position == 3


async def test_a_schema_is_fetched_when_it_is_needed(reading: Reading) -> None:
    class Slow(FolderRegistry):
        asked = 0

        def get(self, schema_id: int) -> Schema:
            if self.asked < 2:
                raise SchemaNeededError(schema_id)
            return super().get(schema_id)

        async def learn(self, schema_id: int) -> None:
            self.asked += 1

    reading.agent.registry = registry = Slow(reading.bench.folder)
    reading.agent.decoder = Decoder(reading.bench.source, registry)
    await reading.deliver(0)

    assert reading.offsets == [0]
    assert registry.asked == 2


async def test_an_event_at_which_the_function_raises_is_not_done(reading: Reading) -> None:
    reading.raised[1] = ValueError("no such thing")
    await reading.deliver(0, 1, 2)

    assert reading.position == 1
    ((action, error),) = reading.failures
    assert action == "agent events-note at events/0, offset 1"
    assert isinstance(error, AgentError)
    assert "ValueError: no such thing" in str(error)


async def test_an_outage_in_the_function_is_told_as_one(reading: Reading) -> None:
    reading.raised[0] = outage = BrokerError("the broker is away")
    await reading.deliver(0)

    assert reading.failures == [("agent events-note at events/0, offset 0", outage)]


async def test_a_map_function_that_raises_ends_it(bench: Bench, tmp_path: Path) -> None:
    bench.source.map(lambda event: {"page": event["nothing"]})
    reading = Reading(bench, tmp_path)
    await reading.open()
    await reading.deliver(0)

    assert reading.position == 0
    assert isinstance(reading.failures[0][1], AgentError)


async def test_a_function_that_returns_is_a_failure(reading: Reading) -> None:
    async def first(events: AsyncIterator[AgentEvent]) -> None:
        async for _ in events:
            return

    reading.agent._function = first
    await reading.deliver(0, 1)

    assert "it returned" in str(reading.failures[0][1])
    assert reading.position == 0


async def test_partitions_that_go_are_not_committed_any_more(reading: Reading) -> None:
    await reading.deliver(0, 1)
    await reading.agent.commit()
    reading.agent.revoke({TP0})
    await reading.agent.commit()

    assert reading.group.commits == [{TP0: 2}]
    assert reading.position is None


async def test_it_is_watched_while_events_wait(reading: Reading) -> None:
    await reading.deliver(0)
    (waiting,) = reading.agent.signs()
    reading.group.log_end = 0
    (idle,) = reading.agent.signs()

    assert waiting.progress == (1, 0)
    assert idle.progress is None


async def test_a_partition_that_is_assigned_and_not_open_is_watched(reading: Reading) -> None:
    reading.agent.revoke({TP0})
    (missing,) = reading.agent.signs()
    reading.app.rebalancing = True
    (coming,) = reading.agent.signs()

    assert missing.progress == "not open"
    assert coming.progress is None


async def test_before_the_consumer_has_started_nothing_is_watched(
    bench: Bench, tmp_path: Path
) -> None:
    reading = Reading(bench, tmp_path)
    reading.group.assignment = None  # type: ignore[assignment]  # Faust's raises until then

    assert [] == list(reading.agent.signs())


async def test_what_is_lost_at_the_end_is_read_again(reading: Reading) -> None:
    await reading.deliver(0, 1)
    sign = "events-note in events/0"
    await reading.agent.reread({sign: 19.0}.__getitem__)
    assert reading.group.seeks == []

    await reading.agent.reread({sign: 21.0}.__getitem__)
    await reading.agent.reread({sign: 22.0}.__getitem__)  # not at once
    assert reading.group.seeks == [{TP0: 2}]


class Past:
    """A reading of a partition whose group has come to offset 5, and whose past begins at 2."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.reading = Reading(bench, folder)
        self.reading.agent._remember_ms = 60_000
        self.group = self.reading.group
        self.group.offset, self.group.log_end = 5, 5
        self.group.recent = 2

    async def rebalance(self) -> None:
        self.reading.agent.revoke({TP0})
        self.reading.app.consumer_generation_id += 1
        await self.reading.agent.open(cast(FoldingConsumer, self.group))

    async def deliver(self, *records: Record | int) -> list[tuple[int, bool]]:
        """What came of them: offset, and whether it is past."""
        before = len(self.reading.events)
        await self.reading.deliver(*records, generation=self.reading.app.consumer_generation_id)
        return [(event.offset, event.is_past) for event in self.reading.events[before:]]

    @property
    def memory(self) -> dict[Any, Any]:
        return self.reading.events[-1].memory


@pytest.fixture
def past(bench: Bench, tmp_path: Path) -> Past:
    return Past(bench, tmp_path)


async def test_the_past_comes_first_and_is_not_committed_again(past: Past) -> None:
    await past.reading.agent.open(cast(FoldingConsumer, past.group))
    assert past.group.seeks == [{TP0: 2}]
    assert await past.deliver(2, Record(3, NOW, b"k", b"?")) == [(2, True)]
    await past.reading.agent.commit()
    assert past.group.commits == []
    assert past.reading.bench.letters == []  # it is there from the first time

    assert await past.deliver(4, 5) == [(4, True), (5, False)]
    await past.reading.agent.commit()
    assert past.group.commits == [{TP0: 6}]


async def test_memory_is_kept_while_nobody_else_has_the_partition(past: Past) -> None:
    await past.reading.agent.open(cast(FoldingConsumer, past.group))
    await past.deliver(2, 3, 4, 5)
    past.memory["card"] = 1
    past.group.offset = past.group.log_end = 6
    await past.rebalance()

    assert past.group.seeks[-1] == {TP0: 6}
    assert await past.deliver(6) == [(6, False)]
    assert past.memory == {"card": 1}


async def test_memory_is_made_again_when_others_have_gone_on(past: Past) -> None:
    await past.reading.agent.open(cast(FoldingConsumer, past.group))
    await past.deliver(2, 3, 4, 5)
    past.memory["card"] = 1
    past.group.offset = past.group.log_end = 9
    await past.rebalance()

    assert past.group.seeks[-1] == {TP0: 2}
    assert await past.deliver(2, 3) == [(2, True), (3, True)]
    assert past.memory == {}
    # And again, when the past itself was broken off.
    await past.rebalance()
    assert past.group.seeks[-1] == {TP0: 2}


async def test_memory_is_made_again_when_the_function_had_an_event_in_hand(past: Past) -> None:
    async def lose(events: AsyncIterator[AgentEvent]) -> None:
        async for event in events:
            event.memory["half"] = event.offset
            if event.offset == 5 and not event.is_past:
                await past.rebalance()

    reading = past.reading
    note, reading.agent._function = reading.agent._function, lose
    await reading.agent.open(cast(FoldingConsumer, past.group))
    await past.deliver(2, 3, 4, 5, 6)
    assert past.group.seeks[-1] == {TP0: 2}
    reading.agent._function = note
    assert await past.deliver(2, 3, 4, 5) == [(2, True), (3, True), (4, True), (5, False)]
    assert past.memory == {}


def test_two_readers_of_one_topic_are_refused(bench: Bench, tmp_path: Path) -> None:
    reading = Reading(bench, tmp_path)
    for agents, match in ((EventAgents([reading.agent]), "agent"), (EventAgents(), "source")):
        with pytest.raises(DeclarationError, match=f"has an? {match} in this app"):
            agents.check_free(bench.source, {bench.source.topic})
    EventAgents().check_free(bench.source, {"others"})
