"""The app of docs/own_app.md, run as the page says, on a broker that speaks the Kafka protocol."""

import asyncio
import json
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
from fastdata.demo.flights import read_flights
from fastdata.errors import StoreUnavailableError
from fastdata.events.schema import Schema, encode
from tests.support.lab import stop
from tests.support.mockbroker import MockBroker

ROOT = Path(__file__).parents[2]
CHANGELOG = "airport-gates-changelog"
EVENTS = 500
DEADLINE_S = 180.0
FORMS = ["imported in a checkout", "loaded from anywhere", "in a plain faust.App"]
PLAIN = """faust.App(
    "airport", broker="kafka://{broker}", store="rocksdb://", datadir="state",
    topic_allow_declare=False, topic_disable_leader=True,  # the broker has no admin API
)"""

Process = subprocess.Popen[bytes]

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def broker(form: str) -> Iterator[str]:
    """The address of a new one, with flights and changes of gates."""
    with MockBroker() as running:
        for topic in ("flights", "gate_changes"):
            running.create(topic)
        producer = Producer({"bootstrap.servers": running.address})
        schema = Schema.load(ROOT / "schemas" / "flight.avsc")
        for flight in islice(read_flights(), EVENTS):
            producer.produce("flights", encode(schema, flight.record))
        for number, gate in (("UA1545", b'"C71"'), ("B6725", b'"12"'), ("UA1545", b'"C93"')):
            producer.produce("gate_changes", gate, number)
        producer.flush()
        yield running.address


@pytest.fixture(scope="module")
def folder(form: str, broker: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run in, with the app of the page; `flights` beside it is as a checkout."""
    place = tmp_path_factory.mktemp("own-app")
    for name in ("agents", "schemas"):
        shutil.copytree(ROOT / name, place / "flights" / name)
    page = (ROOT / "docs" / "own_app.md").read_text()
    app, by_path = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    if form == "in a plain faust.App":
        app = replaced(app, 'fastdata.make_app("airport")', PLAIN.format(broker=broker))
    folder = place / "flights"
    if form == "loaded from anywhere":
        by_path = replaced(by_path, "/srv/flights", str(place / "flights"))
        app = replaced(app, "from agents.flights import departures\n", by_path)
        folder = place / "elsewhere"
        folder.mkdir()
    (folder / "airport.py").write_text(app)
    return folder


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.fixture(scope="module")
def worker(broker: str, folder: Path) -> Iterator[Process]:
    command = [str(Path(sys.executable).parent / "faust"), "-A", "airport", "worker", "-l", "info"]
    environment = {
        **os.environ,
        "FASTDATA_BROKER": broker,
        "FASTDATA_REGISTRY": str(folder.parent / "flights" / "schemas"),
        "FASTDATA_STORE": "sqlite:///airport.db",
        "FASTDATA_STATE": "state",
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    yield process
    process.kill()
    process.wait()


def wait_for(answer: Callable[[], object], wanted: object, folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (last := answer()) != wanted:
        if time.monotonic() > deadline:
            tail = (folder / "worker.log").read_text()[-4_000:]
            pytest.fail(f"{last!r} instead of {wanted!r} after {DEADLINE_S} s; the log:\n{tail}")
        time.sleep(0.2)


@pytest.mark.usefixtures("worker")
def test_the_metric_is_folded(folder: Path) -> None:
    departures = fastdata.load(ROOT / "agents" / "flights.py").departures
    store = folder / "airport.db"

    def flights() -> object:
        try:
            table = asyncio.run(fastdata.query(departures, every="all", store=f"sqlite:///{store}"))
        except StoreUnavailableError:  # the worker has not made it yet
            return None
        return sum(table["flights"].to_pylist())

    wait_for(flights, EVENTS, folder)


@pytest.mark.usefixtures("worker")
def test_the_agent_beside_it_fills_its_own_table(broker: str, folder: Path) -> None:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([CHANGELOG])
    gates: dict[str, str] = {}

    def read() -> object:
        for message in consumer.consume(100, timeout=0.2):
            key, value = message.key(), message.value()
            if key is not None and value is not None:
                gates[json.loads(key)] = json.loads(value)
        return gates

    wait_for(read, {"UA1545": "C93", "B6725": "12"}, folder)
    consumer.close()


def test_a_signal_stops_it_cleanly(worker: Process) -> None:
    assert stop(worker) == 0
