"""Records that travel as one message, and yet are folded one at a time."""

import asyncio
from pathlib import Path

import pytest

from tests.speed.conftest import Bench
from tests.speed.desk import TP0, Desk
from tests.support.lab import Lab, stop
from tests.support.mockbroker import MockBroker


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


async def test_holes_may_be_forgotten_by_a_seek_while_a_record_after_one_is_folded(
    bench: Bench, tmp_path: Path
) -> None:
    desk = Desk(bench, tmp_path)
    await desk.open()

    @bench.source.map
    def seeking(event: dict[str, object]) -> dict[str, object]:
        desk.group.holes.pop(TP0, None)
        return event

    await desk.deliver(0, 1)
    desk.group.holes[TP0] = {5: (2, False)}
    await desk.deliver(5)

    assert (desk.position, desk.failures) == (6, [])


async def test_the_loop_turns_while_a_long_chunk_is_folded(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdata.speed.agent._STRETCH_S", -1.0)
    monkeypatch.setattr("fastdata.speed.agent._RUN_RECORDS", 1)
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


OWN_AGENT = """

@app.agent(app.topic("{topic}", value_serializer="raw"))
async def note(values):
    async for event in values.events():
        with open("noted", "a") as file:
            print(event.message.partition, event.message.offset, len(event.value), file=file)
"""


@pytest.mark.processes
async def test_an_agent_of_the_app_gets_every_record_of_a_topic_that_is_folded_too(
    tmp_path: Path,
) -> None:
    with MockBroker() as broker:
        broker.create("shared")
        lab = Lab(tmp_path, broker.address, "shared")
        with (tmp_path / "short_sessions.py").open("a") as app:
            app.write(OWN_AGENT.format(topic="shared"))
        lab.produce(2_000)
        noted = tmp_path / "noted"
        noted.touch()
        with lab.worker() as worker:
            lab.wait_until_folded(2_000)
            # At least once: some may come again, as all of them do after a crash.
            lab.wait_until(lambda: len(set(noted.read_text().splitlines())) == 2_000)
            assert stop(worker) == 0

        assert await lab.answer() == lab.expected()


@pytest.mark.processes
async def test_a_worker_gets_many_records_at_a_time(tmp_path: Path) -> None:
    with MockBroker() as broker:
        broker.create("clicks")
        lab = Lab(tmp_path, broker.address, "clicks")
        with (tmp_path / "short_sessions.py").open("a") as app:
            app.write(NOTE_SIZES)
        lab.produce(2_000)
        with lab.worker() as worker:
            lab.wait_until_folded(2_000)
            assert stop(worker) == 0

        sizes = [int(size) for size in (tmp_path / "sizes").read_text().split()]
        assert sum(sizes) >= 2_000  # what had come before the start was done comes again
        assert max(sizes) > 1


NOTE_SIZES = """

from fastdata.speed import agent

taken = agent.records_of

def note(message):
    records = taken(message)
    with open("sizes", "a") as file:
        file.write(f"{len(records)} ")
    return records

agent.records_of = note
"""
