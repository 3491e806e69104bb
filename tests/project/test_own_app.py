"""The app of docs/own_app.md, run as the page says, on the embedded broker."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

import fastdata
from fastdata.embedded.broker import EmbeddedBroker
from fastdata.embedded.flights import read_flights
from fastdata.schemas import Schema, encode

ROOT = Path(__file__).parents[2]
CHANGELOG = "airport-changes_by_flight-changelog"
EVENTS = 500
DEADLINE_S = 60.0

pytestmark = pytest.mark.xdist_group("broker")


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        running.create("flights", "gate_changes")
        producer = Producer({"bootstrap.servers": running.address})
        schema = Schema.load(ROOT / "schemas" / "flight.avsc")
        for flight in islice(read_flights(), EVENTS):
            producer.produce("flights", encode(schema, flight.record))
        for gate_change in ("UA1545", "B6725", "UA1545"):
            producer.produce("gate_changes", b"moved", gate_change)
        producer.flush()
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the app of the page, and the agents and schemas of a checkout."""
    folder = tmp_path_factory.mktemp("airport")
    page = (ROOT / "docs" / "own_app.md").read_text()
    found = re.search(r"```python\n(# airport\.py\n.*?)```", page, re.DOTALL)
    assert found is not None
    (folder / "airport.py").write_text(found[1])
    shutil.copytree(ROOT / "agents", folder / "agents")
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    return folder


@pytest.fixture(scope="module")
def worker(broker: EmbeddedBroker, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [str(Path(sys.executable).parent / "faust"), "-A", "airport", "worker", "-l", "info"]
    environment = {
        **os.environ,
        "FASTDATA_BROKER": broker.address,
        "FASTDATA_STORE": "sqlite:///airport.db",
        "FASTDATA_STATE": "state",
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        yield process
        process.terminate()
        process.wait(30)


def wait_for(answer: Callable[[], object], wanted: object, folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (last := answer()) != wanted:
        if time.monotonic() > deadline:
            tail = (folder / "worker.log").read_text()[-4_000:]
            pytest.fail(f"{last!r} instead of {wanted!r} after {DEADLINE_S} s; the log:\n{tail}")
        time.sleep(0.2)


@pytest.mark.usefixtures("worker")
def test_the_metric_is_folded(folder: Path) -> None:
    departures = fastdata.load(folder / "agents" / "flights.py").departures

    def flights() -> object:
        if not (folder / "airport.db").exists():
            return None
        url = f"sqlite:///{folder}/airport.db"
        table = asyncio.run(fastdata.query(departures, every="all", store=url))
        return sum(table["flights"].to_pylist())

    wait_for(flights, EVENTS, folder)


@pytest.mark.usefixtures("worker")
def test_the_agent_beside_it_fills_its_own_table(broker: EmbeddedBroker, folder: Path) -> None:
    settings = {"bootstrap.servers": broker.address, "group.id": "test"}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe([CHANGELOG])
    counts: dict[bytes, bytes] = {}

    def read() -> object:
        for message in consumer.consume(100, timeout=0.2):
            key, value = message.key(), message.value()
            if key is not None and value is not None:
                counts[bytes(key)] = bytes(value)
        return counts

    wait_for(read, {b"UA1545": b"2", b"B6725": b"1"}, folder)
    consumer.close()


def test_a_signal_stops_it_cleanly(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()

    assert worker.wait(30) == 0


def test_agents_of_a_checkout_can_be_imported() -> None:
    code = "from agents.flights import departures; print(departures.name)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert run.stdout == "departures\n"
