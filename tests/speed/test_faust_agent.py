"""The agent between Faust and the layer: what it folds, leaves alone and reads again."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from fastdata import failpoints
from fastdata.errors import MapError
from fastdata.speed.transport import FoldingConsumer
from tests.speed.conftest import NOW, Bench
from tests.speed.desk import TP0, Desk


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
    assert desk.agent.effort.events == 4


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
