"""Events that a worker sends on to another topic, which the next job reads."""

import asyncio
from collections import Counter

from confluent_kafka import Message

from fastdata.events.schema import Schema
from tests.support.lab import Lab, page, stop

CHAIN = """
from fastdata import Count, Metric, Source, Sum

clicks = Source("clicks", topic="{topic}", schema="schemas/click.avsc", time="at", id="id")
clicks.to("{topic}-clean", schema="schemas/clean.avsc")


@clicks.map
def clean(event):
    return None if event["amount"] % 2 else {{**event, "kilo": event["amount"] / 1000}}


cleaned = Source("cleaned", topic="{topic}-clean", schema="schemas/clean.avsc", time="at", id="id")
pages = Metric("pages", cleaned, by=["page"], measures={{"n": Count(), "amount": Sum("amount")}})
"""
SCHEMA = """{"type": "record", "name": "Clean", "fields": [
  {"name": "id", "type": "string"}, {"name": "page", "type": "string"},
  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "amount", "type": "long"}, {"name": "kilo", "type": "double"}]}
"""


def offset_of(message: Message) -> int:
    """From which offset of the source an event is."""
    offset = dict(message.headers() or ())["fastdata.offset"]
    assert isinstance(offset, bytes)
    return int(offset)


async def test_a_source_without_metrics_feeds_the_source_of_the_next_job(lab: Lab) -> None:
    (lab.folder / "agents/clicks.py").write_text(CHAIN.format(topic=lab.topic))
    (lab.folder / "schemas/clean.avsc").write_text(SCHEMA)
    counts, amounts = Counter[str](), Counter[str]()
    for n in range(0, 1_000, 2):
        counts[page(n)] += 1
        amounts[page(n)] += n
    lab.produce(1_000)
    with lab.worker("fastdata") as worker:
        lab.wait_until_folded(1_000)
        sent = lab.read(f"{lab.topic}-clean", 500)
        for _ in range(500):
            if await lab.answer() == (counts, amounts):
                break
            await asyncio.sleep(0.2)
        assert await lab.answer() == (counts, amounts)
        assert stop(worker) == 0

    assert "0 dead letters, 500 sent on" in (lab.folder / "worker.log").read_text()
    places = [(message.partition(), offset_of(message)) for message in sent]
    assert sorted(places) == [(p, offset) for p in (0, 2) for offset in range(250)]
    head = b"\0" + Schema.load(lab.folder / "schemas/clean.avsc").id.to_bytes(4, "big")
    assert {(message.value() or b"")[:5] for message in sent} == {head}
