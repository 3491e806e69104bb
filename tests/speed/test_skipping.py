"""After an outage: what is skipped, and how it is told, by a source that would be fresh."""

import time
from pathlib import Path
from typing import cast

import pytest

from fastdata.speed.transport import FoldingConsumer
from fastdata.store.protocol import Gap
from tests.speed.conftest import Bench
from tests.speed.desk import TP0, Desk


@pytest.fixture
async def desk(bench: Bench, tmp_path: Path) -> Desk:
    """Has folded 13 events, in segments of 10, and then was away."""
    bench.source.skip_after_ms = 180_000
    desk = Desk(bench, tmp_path)
    desk.group.recent = 0
    await desk.open()
    await desk.deliver(*range(13))
    await desk.agent.revoke({TP0})
    desk.group.offset = 13
    return desk


async def begin(desk: Desk) -> int:
    """Where a worker that comes back begins."""
    await desk.agent.open(cast(FoldingConsumer, desk.group))
    return desk.position


@pytest.mark.parametrize(
    ("recent", "position", "gaps"),
    [
        (47, 40, [Gap("events", 0, 13, 40)]),
        (40, 40, [Gap("events", 0, 13, 40)]),
        (None, 100, [Gap("events", 0, 13, 100)]),  # all is old, to the end of the log
        (19, 13, []),  # of its segment the worker has the head
        (20, 20, [Gap("events", 0, 13, 20)]),
        (5, 13, []),
    ],
)
async def test_old_events_are_skipped_to_the_edge_before_the_first_new_one(
    desk: Desk, recent: int | None, position: int, gaps: list[Gap]
) -> None:
    desk.group.recent = recent

    assert await begin(desk) == position
    assert desk.group.seeks == [{TP0: position}]
    assert await desk.bench.store.gaps("events") == gaps


async def test_old_is_what_was_written_that_long_ago(desk: Desk) -> None:
    before = time.time_ns() // 1_000_000
    await begin(desk)

    assert before - 180_000 <= desk.group.asked_since <= time.time_ns() // 1_000_000 - 180_000


async def test_a_source_that_does_not_say_so_skips_nothing(desk: Desk) -> None:
    desk.bench.source.skip_after_ms = 1 << 62
    desk.group.recent = 47

    assert await begin(desk) == 13
    assert await desk.bench.store.gaps("events") == []


async def test_of_a_broker_that_knows_no_times_nothing_is_old(desk: Desk) -> None:
    desk.group.recent, desk.group.is_dated = None, False

    assert await begin(desk) == 13
    assert await desk.bench.store.gaps("events") == []


async def test_what_kafka_has_deleted_is_skipped_though_it_is_new(desk: Desk) -> None:
    desk.group.recent, desk.group.log_start = 31, 52

    assert await begin(desk) == 60
    assert await desk.bench.store.gaps("events") == [Gap("events", 0, 13, 60)]


async def test_a_worker_says_what_it_skips(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.group.recent = 47
    await begin(desk)

    assert "events, partition 0: events from offset 13 to 39 are not folded" in caplog.text
