"""`fastdata send`: every line of a file, a pipe or a connection is in the topic when it says so."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from fastdata.errors import BrokerError, LineError
from fastdata.kafka.connection import Broker
from fastdata.kafka.lines import LineSender, send_lines
from fastdata.local.broker import EMBEDDED_PARTITIONS, EmbeddedBroker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        running.create("lines")
        yield running


def held(broker: EmbeddedBroker, count: int) -> Counter[bytes]:
    """The values of the topic, as soon as there are so many."""
    return Counter(message.value() or b"" for message in read(broker, count))


def read(broker: EmbeddedBroker, count: int) -> list[Message]:
    """What is in the topic, as soon as there is so much."""
    reader = Consumer({"bootstrap.servers": broker.address, "group.id": "test"})
    places = range(EMBEDDED_PARTITIONS)
    reader.assign([TopicPartition("lines", p, OFFSET_BEGINNING) for p in places])
    messages: list[Message] = []
    for _ in range(100):
        messages += reader.consume(1000, timeout=0.1)
        if len(messages) >= count:
            break
    reader.close()
    assert not any(message.error() for message in messages)
    return messages


def length(broker: EmbeddedBroker) -> int:
    """How many records the topic has at this moment."""
    reader = Consumer({"bootstrap.servers": broker.address, "group.id": "test"})
    places = [TopicPartition("lines", partition) for partition in range(EMBEDDED_PARTITIONS)]
    count = sum(reader.get_watermark_offsets(place)[1] for place in places)
    reader.close()
    return count


async def run(
    broker: EmbeddedBroker, *options: str, folder: Path = ROOT
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastdata.cli.main", "send", "lines", *options,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "FASTDATA_BROKER": broker.address, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.readline()).decode()


async def test_every_line_of_a_file_arrives(broker: EmbeddedBroker, tmp_path: Path) -> None:
    lines = [b"%d " % number + b"x" * (number % 500) for number in range(5_000)]
    (tmp_path / "some.log").write_bytes(b"\n".join(lines))

    process = await run(broker, "--from-file", str(tmp_path / "some.log"))

    assert await said(process) == "5000 lines are in lines\n"
    assert await process.wait() == 0
    assert held(broker, 5_000) == Counter(lines)


async def test_a_file_may_be_a_pipe(broker: EmbeddedBroker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = await run(broker, "--from-file", str(tmp_path / "fifo"))

    await asyncio.to_thread((tmp_path / "fifo").write_bytes, b"one\ntwo\n")

    assert await said(process) == "2 lines are in lines\n"
    assert await process.wait() == 0


async def test_a_pipe_is_sent_while_it_is_open(broker: EmbeddedBroker) -> None:
    process = await run(broker)
    assert process.stdin is not None
    process.stdin.write(b"to be\r\n\nor not")
    await process.stdin.drain()
    assert (await asyncio.to_thread(held, broker, 2)) == Counter([b"to be", b""])

    process.stdin.close()

    assert await said(process) == "3 lines are in lines\n"
    assert await process.wait() == 0
    assert held(broker, 3) == Counter([b"to be", b"", b"or not"])


async def test_a_signal_ends_a_pipe_when_whole_lines_are_there(broker: EmbeddedBroker) -> None:
    process = await run(broker)
    assert process.stdin is not None
    process.stdin.write(b"whole\nlines\nand half a")
    await process.stdin.drain()
    assert (await asyncio.to_thread(held, broker, 2)) == Counter([b"whole", b"lines"])

    process.send_signal(signal.SIGTERM)

    assert await said(process) == "2 lines are in lines\n"
    assert await process.wait() == 0
    assert length(broker) == 2


async def test_connections_are_taken_until_a_signal_comes(broker: EmbeddedBroker) -> None:
    process = await run(broker, "--listen", "127.0.0.1:0")
    host, _, port = (await said(process)).split()[-1].rpartition(":")
    wanted = Counter[bytes]()
    writers = []
    for name in (b"a", b"b"):
        _, writer = await asyncio.open_connection(host, int(port))
        lines = [name + b"%d" % number for number in range(1_000)]
        wanted.update(lines)
        writer.write(b"\n".join(lines))
        await writer.drain()
        writers.append(writer)
    for writer in writers:
        writer.close()
        await writer.wait_closed()

    assert (await asyncio.to_thread(held, broker, 2_000)) == wanted
    process.send_signal(signal.SIGTERM)
    assert await said(process) == "2000 lines are in lines\n"
    assert await process.wait() == 0


async def test_lines_of_one_id_lie_in_one_partition(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "order.avsc").write_text(
        '{"type": "record", "name": "Order", "fields": ['
        '{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, '
        '{"name": "number", "type": ["null", "long"]}]}'
    )
    (tmp_path / "agents" / "orders.py").write_text(
        "from fastdata import Source\n"
        'others = Source("others", topic="lines", schema="order.avsc", time="at", format="json")\n'
        'orders = Source("orders", topic="lines", schema="order.avsc", time="at", id="number", '
        'format="json")\n'
    )
    line = '{{"at": 1700000000000, "number": {}}}\n'
    lines = [line.format(n % 30) for n in range(90)] + [line.format("null"), "no JSON\n"]
    (tmp_path / "orders.log").write_text("".join(lines))

    process = await run(broker, "--from-file", str(tmp_path / "orders.log"), folder=tmp_path)

    assert await said(process) == "92 lines are in lines\n"
    assert await process.wait() == 0
    places: dict[bytes, set[tuple[int, bytes | None]]] = {}
    for message in read(broker, 92):
        assert message.value() is not None
        places.setdefault(message.value() or b"", set()).add(
            (message.partition() or 0, message.key())
        )
    assert len(places) == 32
    for value, of_value in places.items():
        ((_, key),) = of_value
        number = value.decode().rpartition(" ")[2].removesuffix("}")
        assert key == (number.encode() if number.isdigit() else None)
    assert len({partition for of_value in places.values() for partition, _ in of_value}) > 1


async def test_nothing_is_read_while_there_is_no_room(broker: EmbeddedBroker) -> None:
    most, given = 0, 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal most, given
        for _ in range(300):
            most = max(most, given - sender.acknowledged)
            given += 1
            yield b"line\n"

    async with LineSender(Broker(broker.address), "lines", max_waiting=10) as sender:
        await send_lines(sender, chunks())

    assert most <= 10
    assert sender.acknowledged == 300


async def test_a_line_without_an_end_is_told(broker: EmbeddedBroker) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        for _ in range(40):
            yield b"\0" * 65_536

    with pytest.raises(LineError, match="is it text"):
        async with LineSender(Broker(broker.address), "lines") as sender:
            await send_lines(sender, chunks())


async def test_a_broker_that_is_away_is_told() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        async with LineSender(Broker("127.0.0.1:1"), "lines"):
            pass
