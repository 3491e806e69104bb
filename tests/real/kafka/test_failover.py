"""A cluster that is left for another one, which MirrorMaker 2 has fed."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.real.kafka.test_epochs import answer, archive_and_replay, expected, said
from tests.support.lab import PARTITIONS, Lab, page, stop
from tests.support.services.kafka import Kafka
from tests.support.services.mirrormaker import PREFIX, KafkaPair


@pytest.fixture
def lab(tmp_path: Path, topic: str, kafka_pair: KafkaPair) -> Lab:
    if kafka_pair.first.pid is None:
        kafka_pair.first.start()
    kafka_pair.first.create(PREFIX + topic, PARTITIONS)
    return Lab(tmp_path, kafka_pair.first.bootstrap, PREFIX + topic)


def ends(broker: Kafka, topic: str) -> list[int]:
    """Where the partitions of a topic end; nothing while it is missing."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        return [reader.get_watermark_offsets(place, timeout=10)[1] for place in places]
    except KafkaException:  # not copied yet
        return []
    finally:
        reader.close()


def committed(broker: Kafka, topic: str) -> list[int]:
    """What the archiver's group has committed; negative where nothing is known."""
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "fastdata-archive-clicks"}
    reader = Consumer(settings)
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    found = [place.offset for place in reader.committed(places, timeout=10)]
    reader.close()
    return found


def wait_until_mirrored(pair: KafkaPair, lab: Lab) -> None:
    """Wait for all events, and for translated offsets of the archiver's group."""
    deadline = time.monotonic() + 90
    while sum(ends(pair.second, lab.topic)) < lab.produced:
        assert time.monotonic() < deadline, ends(pair.second, lab.topic)
        time.sleep(0.2)
    while min(committed(pair.second, lab.topic)) < 0:
        assert time.monotonic() < deadline, committed(pair.second, lab.topic)
        time.sleep(0.2)
    # The copies have the offsets of the originals, so a test can say what an offset counts.
    assert ends(pair.second, lab.topic) == ends(pair.first, lab.topic)


def fail_over(pair: KafkaPair, lab: Lab) -> None:
    wait_until_mirrored(pair, lab)
    pair.first.kill()
    lab.move_to(pair.second.bootstrap)


def begin(lab: Lab, where: str, *options: str) -> dict[int, int]:
    """Begin the next epoch; where, per partition."""
    done = lab.fastdata("epoch", "clicks", "--from", where, "--json", *options)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)
    assert [epoch["first_partition"] for epoch in report["epochs"]] == [0, 1_000]
    begun = report["epochs"][-1]["begin"]
    return {partition: begun.get(str(partition), 0) for partition in range(PARTITIONS)}


def counted(*runs: Iterable[int]) -> dict[str, tuple[int, int, bool]]:
    """The answer when each of these events counts, and is exact."""
    counts, amounts = Counter[str](), Counter[str]()
    for n in (n for run in runs for n in run):
        counts[page(n)] += 1
        amounts[page(n)] += n
    return {name: (counts[name], amounts[name], True) for name in counts}


def test_who_had_read_all_goes_on_at_the_end_of_the_copy(kafka_pair: KafkaPair, lab: Lab) -> None:
    lab.produce(1_400)
    with lab.worker():
        archive_and_replay(lab)
        lab.wait_until(lambda: answer(lab) == expected(lab))
        fail_over(kafka_pair, lab)  # and the worker is killed

    refusal = f"topic '{lab.topic}' is another log than before"
    with lab.worker() as worker:
        assert worker.wait(120) == 1
    assert f"fastdata cannot start: {refusal}" in said(lab)
    archived = lab.fastdata("archive", "--once")
    assert (archived.returncode, archived.stderr.count("\n")) == (1, 1)
    assert refusal in archived.stderr
    assert lab.fastdata("replay").returncode == 0  # it needs no broker
    assert answer(lab) == expected(lab)
    shown = lab.fastdata("epoch")
    assert shown.returncode == 1
    assert "`fastdata epoch clicks` begins to count it" in shown.stdout
    unsaid = lab.fastdata("epoch", "clicks")
    assert (unsaid.returncode, unsaid.stderr.count("\n")) == (1, 1)
    assert "--from earliest, latest, committed or the time" in unsaid.stderr

    assert begin(lab, "latest") == dict.fromkeys(range(PARTITIONS), 350)
    lab.produce(700)
    with lab.worker() as worker:
        lab.wait_until(lambda: counts(answer(lab)) == counts(expected(lab)))
        archived = lab.fastdata("archive", "--once")
        assert (archived.returncode, "gone from the log" in archived.stderr) == (0, False)
        replayed = lab.fastdata("replay")
        assert (replayed.returncode, "never archived" in replayed.stdout) == (0, False)
        lab.wait_until(lambda: answer(lab) == expected(lab))
        assert stop(worker) == 0


def counts(rows: dict[str, tuple[int, int, bool]]) -> dict[str, tuple[int, int]]:
    return {name: (count, amount) for name, (count, amount, _) in rows.items()}


def test_what_was_not_read_of_the_first_cluster_is_counted_of_the_copy(
    kafka_pair: KafkaPair, lab: Lab
) -> None:
    lab.produce(1_100)
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert lab.fastdata("archive", "--once").returncode == 0
        assert stop(worker) == 0
    moved = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    lab.produce(300)  # nobody reads these here
    fail_over(kafka_pair, lab)

    # The copies have the times of the originals: the time of the move is the right place.
    assert begin(lab, moved, "--dry-run") == dict.fromkeys(range(PARTITIONS), 275)
    first = begin(lab, "committed")
    assert all(0 < offset <= 275 for offset in first.values()), first
    lab.produce(100)
    # Nothing is missing, and what lies between the translated offset and the right one is twice,
    # until a replay recognizes it by its ids.
    twice = [n for n in range(1_100) if n // PARTITIONS >= first[n % PARTITIONS]]
    with lab.worker() as worker:
        folded = counts(counted(range(lab.produced), twice))
        lab.wait_until(lambda: counts(answer(lab)) == folded)
        archive_and_replay(lab)
        lab.wait_until(lambda: answer(lab) == expected(lab))
        assert stop(worker) == 0


@pytest.mark.nightly
def test_workers_leave_the_cluster_before_and_keep_none_of_its_state(
    kafka_pair: KafkaPair, lab: Lab
) -> None:
    mine, each = str(lab.folder / "mine"), PARTITIONS * 37
    lab.produce(each)
    with lab.worker(FASTDATA_STATE=mine) as worker:
        lab.wait_until_folded(lab.produced)
        assert lab.fastdata("archive", "--once").returncode == 0
        wait_until_mirrored(kafka_pair, lab)
        lab.move_to(kafka_pair.second.bootstrap)
        begin(lab, "latest")
        assert worker.wait(60) == 1
    assert "is counted no more" in said(lab)
    done = 2 * lab.produced  # the new partitions go on from where the old ones ended

    # Another worker fills the changelog of the new cluster beyond the end of the old one.
    flushes = 15
    lab.produce(each)
    with lab.worker() as worker:
        lab.wait_until_folded(done + each)
        for flush in range(1, flushes + 1):
            for partition in range(PARTITIONS):
                lab.send(lab.event(0, f"more-{flush}-{partition}"), partition)
            lab.wait_until_folded(done + each + PARTITIONS * flush)
        assert stop(worker) == 0
    lab.produce(each)
    with lab.worker(FASTDATA_STATE=mine) as worker:
        lab.wait_until_folded(done + 2 * each + PARTITIONS * flushes)
        assert stop(worker) == 0
    more = [0] * flushes * PARTITIONS
    assert counts(answer(lab)) == counts(counted(range(lab.produced), more))
