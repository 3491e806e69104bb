"""What a worker makes of the topics that it needs, and of those that do not fit."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from fastdata import Settings, make_app
from fastdata.errors import BrokerError, MissingTopicError
from fastdata.speed.producer import AckedProducer
from fastdata.speed.topics import prepare_topics
from tests.support.lab import Lab
from tests.support.services.kafka import Kafka, KafkaCluster

CHANGELOG = {
    "cleanup_policy": "compact",
    "min_compaction_lag_ms": "3600000",
    "max_message_bytes": "2097152",
}


@pytest.fixture
async def producer(kafka: Kafka) -> AsyncIterator[AckedProducer]:
    app = make_app(settings=Settings.load(broker=kafka.bootstrap, store="memory:"))
    producer = AckedProducer(app)
    await producer.start()
    yield producer
    await producer.stop()


def config(bootstrap: str, topic: str, *names: str) -> list[str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.describe_configs([resource])[resource].result(10)
    return [found[name].value for name in names]


def partitions_of(bootstrap: str, topic: str) -> int:
    """How many partitions a topic has that nobody may have created by asking for it."""
    topics = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    return len(topics[topic].partitions) if topic in topics else 0


async def test_a_changelog_is_made_in_full(
    producer: AckedProducer, kafka: Kafka, topic: str
) -> None:
    kafka.create(topic, 3)

    assert await prepare_topics(producer, topic, f"{topic}-changelog") == 3
    assert await producer.partitions(f"{topic}-changelog") == 3
    names = ("cleanup.policy", "min.compaction.lag.ms", "max.message.bytes", "min.insync.replicas")
    found = config(kafka.bootstrap, f"{topic}-changelog", *names)
    assert found == ["compact", "3600000", "2097152", "1"]


async def test_dead_letters_take_the_largest_record_with_its_headers(
    producer: AckedProducer, kafka: Kafka, topic: str
) -> None:
    kafka.create(topic, 1, max_message_bytes="5000000")
    await prepare_topics(producer, topic, f"{topic}-changelog")
    largest = b"x" * 4_990_000
    await producer.send(f"{topic}.dead-letters", [(None, largest, [("reason", b"y" * 1_000)])])

    names = ("cleanup.policy", "retention.ms")
    found = config(kafka.bootstrap, f"{topic}.dead-letters", *names)
    assert found == ["delete", str(30 * 24 * 3_600_000)]


async def test_preparing_again_changes_and_says_nothing(
    producer: AckedProducer, kafka: Kafka, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.create(topic, 2)
    await prepare_topics(producer, topic, f"{topic}-changelog")
    with caplog.at_level(logging.WARNING, "fastdata"):
        assert await prepare_topics(producer, topic, f"{topic}-changelog") == 2

    assert caplog.messages == []


async def test_a_topic_that_is_missing_is_told_and_not_made(
    producer: AckedProducer, topic: str
) -> None:
    with pytest.raises(MissingTopicError, match="create those of all declared sources with `fast"):
        await prepare_topics(producer, topic, f"{topic}-changelog")
    assert await producer.partitions(topic) == 0


@pytest.mark.parametrize(
    ("partitions", "wrong", "reason"),
    [
        (1, {"cleanup_policy": "delete"}, "--add-config cleanup.policy=compact"),
        (1, {"cleanup_policy": "compact,delete"}, "which loses what we keep there"),
        (1, {**CHANGELOG, "min_insync_replicas": "2"}, "--add-config min.insync.replicas=1"),
        (2, CHANGELOG, "has 1 partitions and its changelog .* has 2: they must be equal"),
    ],
)
async def test_a_changelog_that_would_lose_the_state_is_refused(
    producer: AckedProducer,
    kafka: Kafka,
    topic: str,
    partitions: int,
    wrong: dict[str, str],
    reason: str,
) -> None:
    kafka.create(topic, 1)
    kafka.create(f"{topic}-changelog", partitions, **wrong)

    with pytest.raises(BrokerError, match=reason):
        await prepare_topics(producer, topic, f"{topic}-changelog")


@pytest.mark.parametrize(
    ("name", "odd", "command"),
    [
        ("{}", {"cleanup_policy": "compact"}, "--add-config cleanup.policy=delete"),
        ("{}", {"retention_ms": "3600000"}, "--add-config retention.ms=604800000"),
        (
            "{}-changelog",
            {**CHANGELOG, "min_compaction_lag_ms": "0"},
            "--add-config min.compaction.lag.ms=3600000",
        ),
        (
            "{}-changelog",
            {**CHANGELOG, "max_message_bytes": "1048588"},
            "--add-config max.message.bytes=2097152",
        ),
        (
            "{}.dead-letters",
            {"retention_ms": "1000", "max_message_bytes": "2000000"},
            "--add-config retention.ms=2592000000",
        ),
    ],
)
async def test_what_may_lose_something_is_warned_of_with_what_mends_it(
    producer: AckedProducer,
    kafka: Kafka,
    topic: str,
    caplog: pytest.LogCaptureFixture,
    name: str,
    odd: dict[str, str],
    command: str,
) -> None:
    kafka.create(name.format(topic), 1, **odd)
    if name != "{}":
        kafka.create(topic, 1)
    await prepare_topics(producer, topic, f"{topic}-changelog")

    (message,) = [one.getMessage() for one in caplog.records if "fastdata" in one.name]
    assert command in message
    assert f"--bootstrap-server {kafka.bootstrap} " in message


async def test_on_three_brokers_all_copies_are_asked_for(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    kafka_cluster.create(topic, 2)
    app = make_app(settings=Settings.load(broker=kafka_cluster.bootstrap, store="memory:"))
    producer = AckedProducer(app)
    await producer.start()
    await prepare_topics(producer, topic, f"{topic}-changelog")
    await producer.stop()

    admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap})
    partitions = admin.list_topics(f"{topic}-changelog", timeout=10).topics[f"{topic}-changelog"]
    assert [len(each.replicas) for each in partitions.partitions.values()] == [3, 3]
    assert config(kafka_cluster.bootstrap, f"{topic}-changelog", "min.insync.replicas") == ["2"]


def test_a_command_creates_all_that_a_source_needs(
    tmp_path: Path, kafka: Kafka, topic: str
) -> None:
    lab = Lab(tmp_path, kafka.bootstrap, topic, FASTDATA_APPLICATION_ID=topic)
    changelog, letters = f"{topic}-fastdata-clicks-changelog", f"{topic}.dead-letters"

    planned = lab.fastdata("topics", "create", "--partitions", "5", "--dry-run")
    assert (planned.returncode, planned.stderr) == (0, "")
    assert planned.stdout.splitlines() == [
        f"{name}: would be created, partitions: 5, copies: 1"
        for name in (topic, changelog, letters)
    ]
    missing = lab.fastdata("topics", "list")
    assert (missing.returncode, missing.stdout) == (1, f"{topic}: is missing\n")
    done = lab.fastdata("topics", "create", "clicks", "--partitions", "5", "--json")
    assert json.loads(done.stdout) == [
        {"topic": name, "partitions": 5, "copies": 1, "created": True}
        for name in (topic, changelog, letters)
    ]
    names = ("cleanup.policy", "retention.ms", "min.insync.replicas")
    assert config(kafka.bootstrap, topic, *names) == ["delete", str(7 * 24 * 3_600_000), "1"]
    assert config(kafka.bootstrap, letters, *names) == ["delete", str(30 * 24 * 3_600_000), "1"]
    names = ("cleanup.policy", "min.compaction.lag.ms", "max.message.bytes")
    assert config(kafka.bootstrap, changelog, *names) == ["compact", "3600000", "2097152"]

    # Again, with other numbers, it changes nothing.
    again = lab.fastdata("topics", "create", "--partitions", "6")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines() == [
        f"{name}: is there, partitions: 5, copies: 1" for name in (topic, changelog, letters)
    ]
    present = lab.fastdata("topics", "list", "--json")
    assert (present.returncode, present.stderr) == (0, "")
    assert [
        (one["topic"], one["partitions"], one["flaws"]) for one in json.loads(present.stdout)
    ] == [(name, 5, []) for name in (topic, changelog, letters)]
    lab.produce(40)
    with lab.worker():
        lab.wait_until_folded(40)


def test_on_three_brokers_a_command_makes_three_copies(
    tmp_path: Path, kafka_cluster: KafkaCluster, topic: str
) -> None:
    lab = Lab(tmp_path, kafka_cluster.bootstrap, topic, FASTDATA_APPLICATION_ID=topic)

    done = lab.fastdata("topics", "create", "--json")

    assert [(one["partitions"], one["copies"]) for one in json.loads(done.stdout)] == [(8, 3)] * 3
    assert config(kafka_cluster.bootstrap, topic, "min.insync.replicas") == ["2"]


@pytest.mark.parametrize("command", ["send {}", "archive --once", "archive", "worker"])
def test_a_topic_that_is_missing_ends_a_command_with_one_line(
    tmp_path: Path, kafka: Kafka, topic: str, command: str
) -> None:
    lab = Lab(tmp_path, kafka.bootstrap, topic, FASTDATA_APPLICATION_ID=topic)
    (tmp_path / "lines.txt").write_text("{}\n")
    words = command.format(topic).split()
    if words[0] == "send":
        words += ["--from-file", "lines.txt", "--force"]

    done = lab.fastdata(*words)

    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert f"there is no topic '{topic}' at {kafka.bootstrap}" in line
    assert "Error(" not in line
    assert "`fastdata topics create`" in line
    assert partitions_of(kafka.bootstrap, topic) == 0


def test_the_archive_of_a_missing_topic_lets_the_others_go_on(
    tmp_path: Path, kafka: Kafka, topic: str
) -> None:
    kafka.create(topic, 4)
    lab = Lab(tmp_path, kafka.bootstrap, topic, FASTDATA_APPLICATION_ID=topic)
    agents = (tmp_path / "agents/clicks.py").read_text()
    others = agents.replace(topic, f"{topic}-missing").replace('"clicks"', '"others"')
    (tmp_path / "agents/others.py").write_text(others.replace('"pages"', '"other_pages"'))
    lab.produce(40)

    done = lab.fastdata("archive", "--once", "--json")

    assert done.returncode == 1
    assert f"there is no topic '{topic}-missing'" in done.stderr.splitlines()[-1]
    assert lab.fastdata("replay", "--metric", "pages").returncode == 0
