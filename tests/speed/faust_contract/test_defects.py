"""What Faust, mode and aiokafka do that we rely on or work around.

A test that fails here after an upgrade says that a behaviour has changed, for better or worse:
read what works around it, named in the test, before changing the version.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from faust.events import Event
from faust.streams import _current_event
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery, ServiceStopped
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP
from faust.types.tuples import Message
from mode import Service
from mode.utils.queues import FlowControlEvent, FlowControlQueue

TP0 = TP("t", 0)


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return faust.App("x", broker="kafka://localhost:1", store="memory://", datadir=tmp_path)


@pytest.fixture
async def consumer(app: faust.App) -> AsyncIterator[Consumer]:
    consumer = cast(driver.Consumer, app.consumer)
    yield consumer
    consumer._thread.thread_loop.close()


async def test_a_wait_of_mode_that_times_out_says_that_the_service_has_stopped() -> None:
    # Why the watchdog, and not Faust's time-outs, decides about hanging.
    service = Service()
    await service.start()
    result = await service.wait_first(asyncio.sleep(60), timeout=0.01)
    await service.stop()

    assert result.stopped


async def test_a_slow_answer_during_a_recovery_ends_the_recovery_for_ever(app: faust.App) -> None:
    # Why make_app raises broker_request_timeout, and why a recovery has a sign of life.
    recovery = Recovery(app, app.tables)

    with pytest.raises(ServiceStopped):
        await recovery._wait(asyncio.sleep(60), timeout=0.01)
    assert not recovery.should_stop


async def test_faust_commits_past_an_event_that_is_in_flight(consumer: Consumer) -> None:
    # Why the topics of sources are taken out of its acknowledgements, and commit a position.
    consumer._committed_offset[TP0] = 2585
    consumer._acked[TP0] = [2586, 2587, 2588, 2589]

    assert consumer._new_offset(TP0) == 2590


async def test_faust_commits_past_an_event_behind_a_hole(consumer: Consumer) -> None:
    consumer._committed_offset[TP0] = 10
    await consumer._add_gap(TP0, 13, 20)
    consumer._acked[TP0] = [10, 11, 12, 21]  # 20 is in flight

    assert consumer._new_offset(TP0) == 22


async def test_acknowledgements_are_gone_when_a_revoked_partition_is_committed(
    consumer: Consumer,
) -> None:
    # Why we flush and commit in a handler of our own.
    seen: dict[TP, list[int]] = {TP0: [0]}

    async def on_revoked(revoked: set[TP]) -> None:
        seen.clear()
        seen.update(consumer._acked)

    consumer._on_partitions_revoked = on_revoked
    consumer._acked[TP0] = [100, 101]
    await consumer.on_partitions_revoked({TP0})

    assert seen == {}


async def test_a_flush_of_the_producer_returns_with_messages_unsent(app: faust.App) -> None:
    # Why the changelog has a producer of our own.
    class Blocked:
        async def publish_message(self, future: object, wait: bool = False) -> None:
            await asyncio.sleep(60)

    class Pending:
        def __init__(self) -> None:
            self.message = self
            self.channel = Blocked()

    buffer = ProducerBuffer()
    buffer.app = app
    await buffer.start()
    for _ in range(5):
        buffer.put(cast(Any, Pending()))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(buffer.flush(), 5)
    unsent = buffer.size
    buffer._stopped.set()
    await buffer._stop_futures()

    assert unsent == 4


@pytest.mark.parametrize(("store", "second"), [("memory://", 2), ("rocksdb://", 1)])
def test_a_key_in_two_partitions_depends_on_the_store(
    tmp_path: Path, store: str, second: int
) -> None:
    # Why the keys of our state hold their partition.
    app = faust.App("m", broker="kafka://localhost:1", store=store, datadir=tmp_path)
    app.conf.tabledir.mkdir(parents=True, exist_ok=True)
    table = app.Table("counts", default=int)
    table.on_key_set = lambda key, value: None  # type: ignore[method-assign]
    table.on_key_get = lambda key: None  # type: ignore[method-assign]
    seen = []
    for partition in (0, 1):
        tp = TP("t", partition)
        message = Message("t", partition, 0, 0.0, 0, None, b"u", b"v", None, tp=tp)
        event = Event(app, None, None, {}, message)
        _current_event.set(__import__("weakref").ref(event))
        table["US"] += 1
        seen.append(table["US"])
    _current_event.set(None)

    assert seen == [1, second]


async def test_aborted_transactions_are_read_at_least_once(
    app: faust.App, consumer: Consumer
) -> None:
    # Why our consumer sets the isolation itself.
    thread = cast(driver.Consumer, consumer)._thread
    created: AIOKafkaConsumer = thread._create_worker_consumer(
        cast(driver.Transport, app.transport)
    )
    created._closed = True

    assert created._isolation_level == "read_uncommitted"


async def test_a_fetch_is_given_a_set_that_a_rebalance_empties(consumer: Consumer) -> None:
    # Why our consumer copies it: to aiokafka none at all means all.
    consumer._set_active_tps({TP0})
    given = consumer._get_active_partitions()
    consumer.pause_partitions({TP0})

    assert given == set()


async def test_the_producer_is_not_idempotent(app: faust.App) -> None:
    assert cast(driver.Producer, app.producer)._settings_extra() == {}


def test_a_topic_forgets_the_size_of_its_queue(app: faust.App) -> None:
    # Why the agent sets `topic.maxsize`.
    assert app.topic("t", maxsize=8).maxsize is None


async def test_resuming_the_flow_clears_the_queues() -> None:
    # Why partitions are read from their position once more after the flow has resumed.
    flow = FlowControlEvent()
    queue: FlowControlQueue[int] = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    queue.put_nowait(1)
    flow.resume()

    assert queue.empty()


def test_the_worker_command_turns_the_web_server_on(app: faust.App) -> None:
    # Why the apps of make_app have a boot strategy of their own.
    from faust.cli.worker import worker

    app.conf.web_enabled = False
    command = cast(Any, worker).__new__(worker)
    command.app = app
    none = dict.fromkeys(("web_port", "web_bind", "web_host", "web_transport"))
    command._init_worker_options(with_web=True, **none)

    assert app.conf.web_enabled


async def test_an_error_of_a_restore_is_only_logged(
    app: faust.App, caplog: pytest.LogCaptureFixture
) -> None:
    # Why our table ends the process itself when it cannot restore.
    class Broken(faust.Table[bytes, bytes]):
        def apply_changelog_batch(self, batch: object) -> None:
            raise OSError("disk full")

    table = Broken(app, name="t", recovery_buffer_size=1)
    app.tables.add(table)
    tables = cast(TableManager, app.tables)
    recovery = tables.recovery
    tp = TP(table.changelog_topic_name, 0)
    recovery.active_tps.add(tp)
    recovery.tp_to_table[tp] = table
    message = Message(*tp, 5, 0.0, 0, None, b"k", b"v", None, tp=tp)
    task = cast(Callable[[Recovery], Awaitable[None]], Recovery._slurp_changelogs.fun)
    running = asyncio.ensure_future(task(recovery))
    app.flow_control.resume()
    await tables.changelog_queue.put(Event(app, b"k", b"v", {}, message))
    await asyncio.sleep(0.01)
    running.cancel()

    assert "Error in recovery disk full" in caplog.text
    assert recovery.active_offsets[tp] == 5  # as if it were restored
