"""The registry is down: worker and archiver wait, and nothing is lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.real.registry.archiver import archiver
from tests.support.lab import PARTITIONS, Lab, stop
from tests.support.services.registry import Registry

# More than the queue of a source holds, so that the fetcher waits, too.
EVENTS = 12_000
# Of the group; a worker that has not fetched for so long would be put out.
POLL_S = 6.0
ANSWER = ("query", "pages", "--from", "2023-11-01", "--to", "2023-12-01", "--every", "all")
APP = f"""
from fastdata import attach, load, make_app

app = make_app("{{topic}}", broker_max_poll_interval={POLL_S}, broker_session_timeout=6.0,
               broker_heartbeat_interval=1.0)
attach(app, load("agents/clicks.py").pages)
"""


@pytest.fixture
def down(restartable_registry: Registry) -> Iterator[Registry]:
    """A registry that hangs; it goes on at the end."""
    try:
        yield restartable_registry
    finally:
        restartable_registry.resume()


def wait_for(log: Path, text: str, times: int = 1, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while log.read_text().count(text) < times:
        assert time.monotonic() < deadline, log.read_text()[-4_000:]
        time.sleep(0.1)


def dead_letters(lab: Lab) -> int:
    """How many records the topic of dead letters has."""
    reader = Consumer({"bootstrap.servers": lab.environment["FASTDATA_BROKER"], "group.id": "r"})
    topic = f"{lab.topic}.dead-letters"
    found = [
        reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        for partition in reader.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    reader.close()
    return sum(high - low for low, high in found)


# 10 s lie between two lines: longer than the group waits for a fetch. With 8 of them the outage is
# longer than what the watchdog lets pass without progress.
@pytest.mark.parametrize("lines", [2, pytest.param(8, marks=pytest.mark.nightly)])
async def test_worker_and_archiver_wait_and_go_on_exactly(
    lab: Lab, down: Registry, lines: int
) -> None:
    (lab.folder / "patient.py").write_text(APP.format(topic=lab.topic))
    lab.produce(EVENTS)
    down.pause()
    with lab.worker("patient") as worker, archiver(lab) as archive:
        for log in ("worker.log", "archive.log"):
            wait_for(lab.folder / log, "waiting for schema", lines, timeout_s=240.0)
        assert (worker.poll(), archive.poll(), lab.folded()) == (None, None, 0)
        down.resume()
        lab.wait_until_folded(EVENTS)
        assert "answers again" in (lab.folder / "worker.log").read_text()
        assert "eft the consumer group" not in (lab.folder / "worker.log").read_text()
        assert dead_letters(lab) == 0
        assert await lab.answer() == lab.expected()
        assert (stop(worker), stop(archive)) == (0, 0)
    assert lab.fastdata("archive", "--once").returncode == 0

    report = lab.fastdata("replay", "--json")
    assert report.returncode == 0, report.stderr
    answer = json.loads(lab.fastdata(*ANSWER, "--json").stdout)
    (row,) = answer["rows"]
    assert (row["n"], row["amount"]) == (EVENTS, sum(range(EVENTS)))


async def test_a_second_worker_takes_partitions_of_one_that_waits(lab: Lab, down: Registry) -> None:
    lab.produce(EVENTS)
    down.pause()
    with lab.worker():
        wait_for(lab.folder / "worker.log", "waiting for schema")
        with lab.worker():
            wait_for(lab.folder / "worker.log", "Restore complete", times=3)
            down.resume()
            lab.wait_until_folded(EVENTS)

    assert await lab.answer() == lab.expected()


def test_a_worker_and_an_archiver_that_wait_can_be_stopped(lab: Lab, down: Registry) -> None:
    lab.produce(8 * PARTITIONS)
    down.pause()
    with lab.worker() as worker, archiver(lab) as archive:
        for log in ("worker.log", "archive.log"):
            wait_for(lab.folder / log, "waiting for schema")

        assert (stop(worker), stop(archive)) == (0, 0)


def test_a_wrong_registry_ends_worker_and_archiver_at_once(
    lab: Lab, restartable_registry: Registry
) -> None:
    wrong = {"FASTDATA_REGISTRY": f"http://u:geheim@127.0.0.1:{restartable_registry.port}/no"}
    for command in ("worker", "archive"):
        ended = lab.fastdata(command, **wrong)
        told = [line for line in ended.stderr.splitlines() if "schema registry" in line]

        assert (ended.returncode, len(told)) == (1, 1), ended.stderr
        assert "is the path of the URL right" in told[0]
        assert "geheim" not in ended.stderr
