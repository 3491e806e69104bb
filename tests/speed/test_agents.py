"""Agents of users in apps that are killed."""

import json
from collections import Counter
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_reader

from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, wire_id
from tests.support.lab import Lab, stop
from tests.support.mockbroker import MockBroker
from tests.support.mocklab import broker, lab

__all__ = ["broker", "lab"]

pytestmark = pytest.mark.processes

APP = """
import asyncio
import os

from fastdata import Sink, agent, load, make_app

pages = load("agents/clicks.py").pages
app = make_app("{topic}", broker_session_timeout=4.0, broker_heartbeat_interval=1.0)
seen = Sink(app, "{topic}-seen", schema="seen.avsc")


@agent(app, pages.source)
async def look(events):
    async for click in events:
        if os.environ.get("RAISE_AT") == click.id:
            raise ValueError("no such thing")
        await asyncio.sleep(0.01)
        await seen.send({{"click": click.id, "amount": click["amount"]}}, key=click.id)
"""
COUNTING = """
import asyncio

from fastdata import Sink, agent, load, make_app

pages = load("agents/clicks.py").pages
app = make_app("{topic}", broker_session_timeout=4.0, broker_heartbeat_interval=1.0)
seen = Sink(app, "{topic}-seen", schema="seen.avsc")


@agent(app, pages.source, remember="1d")
async def count(events):
    async for click in events:
        click.memory["n"] = click.memory.get("n", 0) + 1
        if not click.is_past:
            await asyncio.sleep(0.01)
            await seen.send({{"click": click.id, "amount": click.memory["n"]}}, key=click.id)
"""
EVENTS = 1_500  # some of them committed before the others are done, also where that is quick
SEEN = {
    "type": "record",
    "name": "Seen",
    "fields": [{"name": "click", "type": "string"}, {"name": "amount", "type": "long"}],
}


@pytest.fixture
def seen(lab: Lab, broker: MockBroker) -> str:
    """The topic that the agent writes to."""
    (lab.folder / "looking.py").write_text(APP.format(topic=lab.topic))
    (lab.folder / "seen.avsc").write_text(json.dumps(SEEN))
    broker.create(f"{lab.topic}-seen")
    return f"{lab.topic}-seen"


def amounts(lab: Lab, topic: str) -> Counter[tuple[str, int]]:
    """How often each click was seen, with its amount."""
    schema = Schema.parse(json.dumps(SEEN))
    assert schema.id in {known.id for known in FolderRegistry(lab.folder / "schemas").schemas}
    found: Counter[tuple[str, int]] = Counter()
    for message in lab.read(topic, 10_000, 3.0):
        value = message.value()
        assert value is not None
        assert wire_id(value) == schema.id
        datum: Any = schemaless_reader(BytesIO(value[5:]), schema.parsed, None)
        found[datum["click"], datum["amount"]] += 1
    return found


def check_counts(found: Counter[tuple[str, int]], events: int) -> None:
    """Each click, however often it came, had the same number in its partition, of four."""
    assert len({click for click, _ in found}) == len(found) == events
    assert sorted(number for _, number in found) == sorted([*range(1, events // 4 + 1)] * 4)


def test_each_event_comes_again_until_it_was_done(lab: Lab, seen: str) -> None:
    lab.produce(EVENTS)
    lab.send(b"?")
    wanted = {(str(n), n) for n in range(EVENTS)}
    with lab.worker("looking") as worker:
        lab.wait_until(lambda: 100 <= lab.committed() < EVENTS)
        worker.kill()
    before = len(lab.read(seen, 2 * EVENTS, 2.0))
    assert 100 <= before < EVENTS
    with lab.worker("looking") as worker:
        lab.wait_until(lambda: lab.committed() == EVENTS + 1)
        assert stop(worker) == 0

    found = amounts(lab, seen)
    assert set(found) == wanted
    letters = lab.read(f"{lab.topic}.dead-letters", 1)
    assert [letter.value() for letter in letters] == [b"?"]


def test_what_an_agent_remembers_is_exact_after_kills(lab: Lab, seen: str) -> None:
    (lab.folder / "looking.py").write_text(COUNTING.format(topic=lab.topic))
    lab.produce(EVENTS)
    for end in (60, 600):
        with lab.worker("looking") as worker:
            lab.wait_until(lambda end=end: lab.committed() > end)  # type: ignore[misc]
            worker.kill()
    with lab.worker("looking") as worker:
        lab.wait_until(lambda: lab.committed() == EVENTS)
        assert stop(worker) == 0

    check_counts(amounts(lab, seen), EVENTS)


def test_an_event_at_which_it_raises_is_not_committed(lab: Lab, seen: str) -> None:
    lab.produce(40)
    with lab.worker("looking", RAISE_AT="20") as worker:
        assert worker.wait(60) == 70
    lab.wait_for("no such thing")
    assert lab.committed() < 40
    with lab.worker("looking"):
        lab.wait_until(lambda: lab.committed() == 40)

    assert set(amounts(lab, seen)) == {(str(n), n) for n in range(40)}


def test_what_was_done_before_a_signal_is_not_done_again(lab: Lab, seen: str) -> None:
    lab.produce(400)
    with lab.worker("looking") as worker:
        lab.read(seen, 50)
        assert stop(worker) == 0
    with lab.worker("looking"):
        lab.wait_until(lambda: lab.committed() == 400)

    # The event in hand may have been sent and not been done.
    assert sorted(amounts(lab, seen).values())[:-1] == [1] * 399
