"""Events that are sent on: which, in which order, and what a crash does to them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from fastdata import failpoints
from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.declare.source import Destination
from fastdata.errors import BrokerError, DeclarationError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema
from fastdata.failpoints import FailpointError
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.speed.outlet import KafkaOutlet
from fastdata.speed.producer import TimedMessage
from fastdata.speed.topic_rules import Topic
from tests.speed.conftest import HOUR_MS, MINUTE_MS, NOW, SCHEMA, Bench


@dataclass
class Log:
    """A destination: what was appended to it, by partition."""

    order: list[str]
    messages: dict[int, list[TimedMessage]] = field(default_factory=dict)
    is_away: bool = False

    async def append(
        self, topic: str, messages: Mapping[int, Iterable[TimedMessage]]
    ) -> dict[int, int]:
        if self.is_away:
            raise BrokerError(f"topic {topic}: it is away")
        self.order.append(f"events to {topic}")
        for partition, appended in messages.items():
            self.messages.setdefault(partition, []).extend(appended)
        return {}

    def offsets(self, partition: int = 0) -> list[int]:
        """From which offsets of the source the events of a partition are."""
        sent = self.messages.get(partition, [])
        return [int(dict(headers)["fastdata.offset"]) for _, _, headers, _ in sent]


@pytest.fixture
def log(bench: Bench) -> Log:
    return Log(bench.order)


def layer_of(bench: Bench, log: Log, **config: str) -> SpeedLayer:
    """A layer that sends on, to a topic with two partitions and this configuration."""
    bench.source.destination = bench.source.destination or Destination("clean", bench.source.schema)
    outlet = KafkaOutlet(
        log,  # type: ignore[arg-type]
        "events",
        bench.source.destination.schema,
        bench.source.schema.id,
        Topic("clean", 2, 1, config),
        Epoch(LogIdentity("c", "t")),
    )
    return bench.layer(outlet=outlet)


async def folded(layer: SpeedLayer, records: list[Record], partition: int = 0) -> None:
    await layer.open(partition, None, 0, len(records))
    for record in records:
        layer.fold(partition, record)


def with_sizes(bench: Bench, count: int) -> list[Record]:
    return [bench.record(offset, size=offset) for offset in range(count)]


async def crashed(layer: SpeedLayer, at: str) -> None:
    failpoints.set_action(at, "raise")
    with pytest.raises(FailpointError):
        await layer.flush()


async def test_an_event_is_sent_on_as_the_map_function_made_it(bench: Bench, log: Log) -> None:
    @bench.source.map
    def halve(event: dict[str, object]) -> dict[str, object] | None:
        size = event["size"]
        assert isinstance(size, int)
        return None if size % 2 else {**event, "size": size // 2}

    layer = layer_of(bench, log)
    records = with_sizes(bench, 3)
    records[2].key, records[2].headers = b"k", [("mine", b"1")]
    records[2].timestamp = NOW - 5
    await folded(layer, records)
    await layer.flush()

    assert log.offsets() == [0, 2]
    key, value, headers, timestamp = log.messages[0][1]
    assert value is not None
    record = Decoder(bench.source, FolderRegistry(bench.folder)).read_record(value)[1]
    assert record == {"at": NOW, "id": None, "page": None, "size": 1}
    assert (key, timestamp) == (b"k", NOW - 5)
    assert headers == [
        ("mine", b"1"),
        ("fastdata.topic", b"events"),
        ("fastdata.epoch", b"c/t"),
        ("fastdata.partition", b"0"),
        ("fastdata.offset", b"2"),
    ]
    assert layer.sent_on == 2


async def test_it_is_sent_after_the_dead_letters_and_before_the_commit(
    bench: Bench, log: Log
) -> None:
    layer = layer_of(bench, log)
    await folded(layer, [bench.record(0), Record(1, NOW, None, b"rubbish")])
    await layer.flush()

    assert bench.order == ["dead letters", "events to clean", "commit"]


async def test_what_was_not_acknowledged_is_not_committed(bench: Bench, log: Log) -> None:
    layer = layer_of(bench, log)
    await folded(layer, with_sizes(bench, 2))
    log.is_away = True
    with pytest.raises(BrokerError):
        await layer.flush()

    assert (bench.committed, bench.table.writes) == ({}, [])


async def test_a_crash_before_the_marker_sends_them_again_in_order(bench: Bench, log: Log) -> None:
    first = layer_of(bench, log)
    records = with_sizes(bench, 4)
    await folded(first, records[:2])
    await crashed(first, "flush.before_table")
    second = layer_of(bench, log)
    await folded(second, records)
    await second.flush()

    assert log.offsets() == [0, 1, 0, 1, 2, 3]


async def test_a_crash_after_the_marker_sends_none_again(bench: Bench, log: Log) -> None:
    first = layer_of(bench, log)
    records = with_sizes(bench, 4)
    await folded(first, records[:1])
    await first.flush()
    first.fold(0, records[1])
    await crashed(first, "flush.after_table")
    second = layer_of(bench, log)
    assert await second.open(0, 1, 0, 4) == 1
    for record in records[1:]:
        second.fold(0, record)
    await second.flush()

    assert log.offsets() == [0, 1, 2, 3]


async def test_a_marker_of_a_worker_that_sent_nothing_on_does_not_vouch_for_it(
    bench: Bench, log: Log
) -> None:
    records = with_sizes(bench, 3)
    without = bench.layer()
    await folded(without, records[:1])
    await without.flush()
    without.fold(0, records[1])
    await crashed(without, "flush.after_table")
    layer = layer_of(bench, log)
    assert await layer.open(0, 1, 0, 3) == 1
    for record in records[1:]:
        layer.fold(0, record)
    await layer.flush()

    assert log.offsets() == [1, 2]  # 0 was committed before anybody asked for it


async def test_what_is_folded_again_since_the_state_is_lost_is_not_sent_again(
    bench: Bench, log: Log
) -> None:
    first = layer_of(bench, log)
    records = with_sizes(bench, 16)
    await folded(first, records[:15])
    await first.flush()
    bench.table.rows.clear()
    second = layer_of(bench, log)
    assert await second.open(0, 15, 0, 16) == 10
    for record in records[10:]:
        second.fold(0, record)
    await second.flush()

    assert log.offsets() == list(range(16))


async def test_late_and_future_events_are_sent_on_and_repeats_are_not(
    bench: Bench, log: Log
) -> None:
    layer = layer_of(bench, log)
    times = [NOW, NOW - 2 * HOUR_MS, NOW + 6 * MINUTE_MS, NOW]
    await folded(layer, [bench.record(n, at, id=str(n % 3)) for n, at in enumerate(times)])
    await layer.flush()

    assert layer.intake.left_out == {"late": 1, "future": 1, "repeat": 1}
    assert log.offsets() == [0, 1, 2]


async def test_what_does_not_fit_is_a_dead_letter_and_counted_all_the_same(
    bench: Bench, log: Log
) -> None:
    fields = [SCHEMA["fields"][0], {"name": "mean", "type": "long", "default": 0}]
    schema = bench.folder / "clean.avsc"
    schema.write_text(json.dumps({"type": "record", "name": "Clean", "fields": fields}))
    bench.source.to("clean", schema=str(schema))

    @bench.source.map
    def spoil(event: dict[str, object]) -> dict[str, object]:
        return event if event["size"] == 0 else {**event, "mean": 1.5}

    layer = layer_of(bench, log)
    await folded(layer, with_sizes(bench, 2))
    await layer.flush()

    assert log.offsets() == [0]
    (letter,) = bench.letters
    assert (letter.stage, letter.reason, letter.record.offset) == ("destination", "misfit", 1)
    assert letter.detail.startswith("it does not fit Clean of topic clean: Clean.mean is <1.5>")
    assert await bench.counts() == {"[null]": 2}


async def test_what_is_too_large_for_the_topic_is_a_dead_letter(bench: Bench, log: Log) -> None:
    layer = layer_of(bench, log, **{"max.message.bytes": "2000"})
    await folded(layer, [bench.record(0, page="a" * 1_000), bench.record(1)])
    await layer.flush()

    assert log.offsets() == [1]
    assert [letter.reason for letter in bench.letters] == ["too-large"]
    assert bench.letters[0].detail.startswith("topic clean takes 976 bytes, and it has 10")


async def test_fields_that_the_map_function_adds_are_sent_by_a_schema_that_has_them(
    bench: Bench, log: Log
) -> None:
    fields = [SCHEMA["fields"][0], {"name": "pages", "type": {"type": "array", "items": "string"}}]
    schema = bench.folder / "clean.avsc"
    schema.write_text(json.dumps({"type": "record", "name": "Clean", "fields": fields}))
    bench.source.to("clean", schema=str(schema))

    @bench.source.map
    def split(event: dict[str, object]) -> dict[str, object]:
        return {**event, "pages": str(event["page"]).split("/")}

    layer = layer_of(bench, log)
    await folded(layer, [bench.record(0, page="a/b")])
    await layer.flush()

    value = log.messages[0][0][1]
    assert value is not None
    assert value.endswith(b"\x04\x02a\x02b\x00")
    assert bench.source.destination is not None
    assert bench.source.destination.schema == Schema.load(schema)


async def test_partitions_that_the_destination_does_not_have_are_wrapped_around(
    bench: Bench, log: Log
) -> None:
    layer = layer_of(bench, log)
    for partition in (1, 2, 3):
        await folded(layer, with_sizes(bench, 2), partition)
    await layer.flush()

    assert (log.offsets(0), log.offsets(1)) == ([0, 1], [0, 1, 0, 1])
    assert [dict(h)["fastdata.partition"] for _, _, h, _ in log.messages[1]] == [
        b"1", b"1", b"3", b"3",
    ]  # fmt: skip


async def test_so_many_bytes_may_wait_until_a_flush_must_come(bench: Bench, log: Log) -> None:
    layer = layer_of(bench, log)
    await folded(layer, [bench.record(n, page="a" * 1_000_000) for n in range(17)])
    before = layer.is_full
    await layer.flush()

    assert (before, layer.is_full) == (True, False)
    assert len(log.offsets()) == 17


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        (["events"], "come again for ever"),
        (["a b"], "is no name of a Kafka topic"),
        (["clean", "other"], "it is sent on to 'clean' already"),
    ],
)
def test_a_destination_that_cannot_be_is_refused(
    bench: Bench, topics: list[str], reason: str
) -> None:
    for topic in topics[:-1]:
        bench.source.to(topic)
    with pytest.raises(DeclarationError, match=reason):
        bench.source.to(topics[-1])
