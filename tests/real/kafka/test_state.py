"""The changelog: compacted for real, and a worker that has nothing else."""

import shutil
import time

from confluent_kafka import Consumer, TopicPartition

from tests.support.lab import PARTITIONS, Lab, stop
from tests.support.services.kafka import Kafka

# As ours, but for how soon the broker's cleaner may come.
EAGER = {
    "cleanup_policy": "compact",
    "min_compaction_lag_ms": "0",
    "segment_ms": "300",
    "min_cleanable_dirty_ratio": "0.01",
    "max_message_bytes": "2097152",
}


def records_and_offsets(lab: Lab, topic: str) -> tuple[int, int]:
    """How many records a log has, and how many offsets it has given out."""
    servers = lab.environment["FASTDATA_BROKER"]
    client = Consumer({"bootstrap.servers": servers, "group.id": "count"})
    ends = [
        client.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
        for p in range(PARTITIONS)
    ]
    client.close()
    return len(lab.read(topic, sum(ends), timeout_s=3)), sum(ends)


async def test_a_worker_restored_from_a_compacted_changelog_is_exact(
    lab: Lab, kafka: Kafka
) -> None:
    changelog = f"{lab.topic}-fastdata-clicks-changelog"
    kafka.create(changelog, PARTITIONS, **EAGER)
    records, offsets = 0, 0
    deadline = time.monotonic() + 200
    with lab.worker() as worker:
        while records >= offsets:
            assert time.monotonic() < deadline, "the broker does not compact"
            lab.produce(100)
            lab.wait_until_folded(lab.produced)
            records, offsets = records_and_offsets(lab, changelog)
        assert stop(worker) == 0
    shutil.rmtree(lab.folder / "data/state")
    lab.produce(300)
    with lab.worker():
        lab.wait_until_folded(lab.produced)

    assert await lab.answer() == lab.expected()
