"""Records that travel as one message, and yet are folded one at a time."""

import asyncio
from pathlib import Path

import pytest

from tests.speed.conftest import Bench
from tests.speed.desk import Desk


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
