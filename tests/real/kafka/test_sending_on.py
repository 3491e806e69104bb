"""Events that are sent on to a topic of a real broker, by workers that are killed."""

import json
import signal
from collections import defaultdict

from tests.real.kafka.test_topics import config
from tests.support.lab import PARTITIONS, Lab, stop
from tests.support.services.kafka import Kafka


def send_on(lab: Lab) -> str:
    """Have the worker of a lab send its events on; the topic where to."""
    agents = lab.folder / "agents/clicks.py"
    lab.environment["FASTDATA_APPLICATION_ID"] = lab.topic
    agents.write_text(f'{agents.read_text()}\nclicks.to("{lab.topic}-clean")\n')
    return f"{lab.topic}-clean"


def offsets(lab: Lab, topic: str) -> dict[int, list[int]]:
    """By partition, from which offsets of the same partition of the source the events are."""
    found = defaultdict[int, list[int]](list)
    for message in lab.read(topic, 1 << 30, timeout_s=10):
        place = dict(message.headers() or ())
        partition, offset = place["fastdata.partition"], place["fastdata.offset"]
        assert isinstance(partition, bytes)
        assert isinstance(offset, bytes)
        assert (int(partition), place["fastdata.topic"]) == (
            message.partition(), lab.topic.encode(),
        )  # fmt: skip
        found[int(partition)].append(int(offset))
    return found


async def test_none_is_lost_and_their_order_is_kept_whenever_a_worker_is_killed(lab: Lab) -> None:
    topic = send_on(lab)
    kills = ["flush.before_table", "flush.after_table", "flush.after_store", "flush.before_table"]
    for number, place in enumerate(kills):
        with lab.worker("fastdata", FASTDATA_FAILPOINTS=f"{place}=kill@{number + 2}") as worker:
            while worker.poll() is None:
                lab.produce(20)
            assert worker.wait(60) == -signal.SIGKILL
    with lab.worker("fastdata") as worker:
        lab.produce(20_000)
        lab.wait_until_folded(lab.produced - 15_000)
        worker.kill()
    with lab.worker("fastdata") as worker:
        lab.wait_until_folded(lab.produced)
        assert stop(worker) == 0

    found = offsets(lab, topic)
    for partition in range(PARTITIONS):
        assert list(dict.fromkeys(found[partition])) == list(range(lab.produced // PARTITIONS))
    assert sum(map(len, found.values())) > lab.produced  # some came twice, or nothing was tried
    assert await lab.answer() == lab.expected()


def test_a_command_creates_the_topic_that_events_are_sent_on_to(lab: Lab, kafka: Kafka) -> None:
    topic = send_on(lab)
    missing = lab.fastdata("topics", "list", "--json")
    assert {x["topic"] for x in json.loads(missing.stdout) if not x["is_there"]} >= {topic}
    done = lab.fastdata("topics", "create")

    assert f"{topic}: created, partitions: {PARTITIONS}, copies: 1" in done.stdout.splitlines()
    assert lab.fastdata("topics", "list").returncode == 0
    names = ("cleanup.policy", "max.message.bytes")
    assert config(kafka.bootstrap, topic, *names) == ["delete", "1048588"]


def test_a_topic_that_would_lose_events_is_refused(lab: Lab, kafka: Kafka) -> None:
    kafka.create(send_on(lab), PARTITIONS, cleanup_policy="compact")
    run = lab.fastdata("worker")

    assert run.returncode == 1
    assert "-clean has cleanup.policy=compact, which loses what we keep there" in run.stderr
