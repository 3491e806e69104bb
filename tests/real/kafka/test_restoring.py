"""A serving store that is lost is filled again, as docs/production.md tells."""

import json

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.lab import PARTITIONS, Lab, stop


def take_back(lab: Lab) -> None:
    """What `kafka-consumer-groups.sh --reset-offsets --to-earliest --execute` does."""
    client = AdminClient({"bootstrap.servers": lab.environment["FASTDATA_BROKER"]})
    places = [TopicPartition(lab.topic, p, 0) for p in range(PARTITIONS)]
    group = ConsumerGroupTopicPartitions(lab.topic, places)
    for moved in client.alter_consumer_group_offsets([group]).values():
        moved.result(30)


def test_a_lost_store_is_filled_by_a_replay_and_by_reading_again(lab: Lab) -> None:
    lab.produce(4_300)  # two closed segments of each partition, and 75 events of an open one
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert stop(worker) == 0
    assert lab.fastdata("archive", "--once").returncode == 0
    for file in (lab.folder / "data").glob("fastdata.db*"):
        file.unlink()

    replayed = lab.fastdata("replay", "--json")
    assert json.loads(replayed.stdout)["metrics"][0]["events"] == 4_300
    take_back(lab)
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert stop(worker) == 0

    found = lab.fastdata("query", "pages", "--every", "all", "--by", "page", "--json")
    rows = json.loads(found.stdout)["rows"]
    counts, amounts = lab.expected()
    assert {row["page"]: (row["n"], row["amount"]) for row in rows} == {
        name: (counts[name], amounts[name]) for name in counts
    }
