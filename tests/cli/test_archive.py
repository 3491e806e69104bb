"""`fastdata archive` and `fastdata status` against a broker."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Producer

from fastdata.demo.folder import write_folder
from fastdata.events.schema import Schema, encode
from fastdata.kafka.connection import Broker
from fastdata.local.broker import EmbeddedBroker

pytestmark = pytest.mark.processes

FLIGHT = {
    "flight_id": "",
    "scheduled_departure": 1_357_000_000_000,
    "origin": "EWR",
    "dest": "IAH",
    "carrier": "UA",
    "flight": 1545,
    "tailnum": None,
    "distance": 1400,
    "dep_delay": None,
    "arr_delay": None,
    "air_time": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A deployment whose log holds 40 flights in partition 0 and 2 in partition 3."""
    place = tmp_path / "flights"
    with EmbeddedBroker() as broker:
        write_folder(place, Broker(broker.address))
        broker.create("flights")
        schema = Schema.load(place / "schemas" / "flight.avsc")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        for number in range(42):
            value = encode(schema, {**FLIGHT, "flight_id": f"f{number}"})
            producer.produce("flights", value, partition=0 if number < 40 else 3)
        assert producer.flush(10) == 0
        yield place


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}
    return subprocess.run(
        [sys.executable, "-m", "fastdata.cli.main", *words],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def status(folder: Path) -> dict[str, object]:
    done = run(folder, "status", "--json")
    (source,) = json.loads(done.stdout)["sources"]
    return cast("dict[str, object]", source)


def column(folder: Path, name: str) -> list[object]:
    partitions = cast("list[dict[str, object]]", status(folder)["partitions"])
    return [partition[name] for partition in partitions]


def test_the_archive_goes_on_when_nobody_reads_what_it_says(folder: Path) -> None:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}
    with subprocess.Popen(
        [sys.executable, "-m", "fastdata", "archive"], cwd=folder, env=clean, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"flights: durable" in process.stdout.readline()
        process.stdout.close()
        time.sleep(5)  # it says something every 2 s
        process.terminate()

    assert process.returncode == 0
    assert column(folder, "archived") == [40, 0, 0, 2]


def test_archive_once_ends_when_everything_in_the_log_is_durable(folder: Path) -> None:
    done = run(folder, "archive", "--once", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["durable"] == {"0": 40, "1": 0, "2": 0, "3": 2}
    assert column(folder, "archived") == [40, 0, 0, 2]


def test_status_says_how_far_the_speed_layer_is_behind_in_events_and_seconds(folder: Path) -> None:
    time.sleep(0.5)
    assert column(folder, "log_end") == [40, 0, 0, 2]
    assert column(folder, "folded") == [0, 0, 0, 0]
    assert column(folder, "lag") == [40, 0, 0, 2]
    first, second, third, last = cast("list[float]", column(folder, "lag_s"))
    assert (second, third) == (0, 0)
    assert 0.5 < first < 60
    assert 0.5 < last < 60


def test_status_of_a_new_deployment_says_what_is_not_there_yet(folder: Path) -> None:
    done = run(folder, "status")
    assert done.returncode == 1
    assert "there is no store at" in done.stderr
    assert "departures: never replayed" in done.stdout


def health(folder: Path, max_lag: str, *words: str) -> tuple[int, str]:
    done = run(folder, "status", "--max-lag", max_lag, *words)
    return done.returncode, done.stderr


def test_a_worker_and_an_archiver_that_were_killed_fail_the_health_check(folder: Path) -> None:
    command = [sys.executable, "-m", "fastdata.cli.main"]
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}
    worker = subprocess.Popen([*command, "worker"], cwd=folder, env=clean)
    try:
        deadline = time.monotonic() + 120
        while health(folder, "2m", "--layer", "speed") != (0, "") and time.monotonic() < deadline:
            time.sleep(1)
        assert run(folder, "archive", "--once").returncode == 0
        assert health(folder, "2m") == (0, "")
    finally:
        worker.kill()
        worker.wait()
    settings = tomllib.loads((folder / "fastdata.toml").read_text())
    producer = Producer({"bootstrap.servers": settings["broker"], "log_level": 0})
    producer.produce("flights", b"no flight", partition=2)
    assert producer.flush(10) == 0
    time.sleep(6)
    code, said = health(folder, "5s", "--layer", "speed")
    assert code == 3
    assert "flights: workers have read partitions 0, 1, 2, 3 up to" in said
    code, said = health(folder, "5s", "--layer", "archive")
    assert code == 3
    assert "flights: 1 event of partition 2 not archived for" in said
    report = json.loads(run(folder, "status", "--max-lag", "5s", "--json").stdout)
    assert len(report["late"]) == 2
