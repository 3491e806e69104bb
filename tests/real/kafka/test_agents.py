"""Agents of users on a real broker: transactions, kills, and a worker that takes over."""

import json
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException, Producer

from tests.speed.test_agents import APP, COUNTING, SEEN, amounts, check_counts
from tests.support.lab import Lab, stop
from tests.support.services.kafka import Kafka

pytestmark = pytest.mark.services


@pytest.fixture
def seen(lab: Lab, kafka: Kafka) -> str:
    """The topic that the agent writes to."""
    (lab.folder / "looking.py").write_text(APP.format(topic=lab.topic))
    (lab.folder / "seen.avsc").write_text(json.dumps(SEEN))
    kafka.create(f"{lab.topic}-seen", 4)
    return f"{lab.topic}-seen"


def committed(lab: Lab) -> int:
    with suppress(KafkaException):  # a new broker has no coordinator yet
        return lab.committed()
    return 0


def test_committed_events_come_again_until_they_were_done(
    lab: Lab, kafka: Kafka, seen: str
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": lab.topic})
    producer.init_transactions()
    for n in range(40):
        producer.begin_transaction()
        lab.produce(20, producer)
        if n % 5 == 4:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    lab.produce(1)
    wanted = {(str(n), n) for n in range(800) if n % 100 < 80} | {("800", 800)}

    with lab.worker("looking") as worker:
        lab.wait_until(lambda: committed(lab) >= 60)
        worker.kill()
    assert 50 <= len(amounts(lab, seen)) < len(wanted)
    with lab.worker("looking") as worker:
        lab.wait_until(lambda: set(amounts(lab, seen)) >= wanted)
        assert stop(worker) == 0

    assert set(amounts(lab, seen)) == wanted


def test_what_another_worker_takes_over_comes_at_least_once(lab: Lab, seen: str) -> None:
    lab.produce(400)
    with lab.worker("looking") as first:
        lab.wait_until(lambda: committed(lab) >= 50)
        with lab.worker("looking") as second:  # half of the partitions move
            lab.wait_until(lambda: committed(lab) == 400)
            lab.produce(100)
            lab.wait_until(lambda: committed(lab) == 500)  # the first goes on with the other half
            lab.produce(400)
            lab.wait_until(lambda: committed(lab) >= 550)
            first.kill()
            lab.wait_until(lambda: committed(lab) == 900)
            assert stop(second) == 0

    assert set(amounts(lab, seen)) == {(str(n), n) for n in range(900)}


def test_what_agents_remember_is_exact_after_kills_and_rebalances(lab: Lab, seen: str) -> None:
    (lab.folder / "looking.py").write_text(COUNTING.format(topic=lab.topic))
    lab.produce(2_000)
    with lab.worker("looking") as first:
        lab.wait_until(lambda: committed(lab) >= 50)
        with lab.worker("looking") as second:  # half of the partitions move
            lab.wait_until(lambda: committed(lab) >= 300)
            first.kill()  # and all of them back
            lab.wait_until(lambda: committed(lab) >= 500)
            with lab.worker("looking") as third:
                lab.wait_until(lambda: committed(lab) == 2_000)
                assert stop(third) == 0
            assert stop(second) == 0

    check_counts(amounts(lab, seen), 2_000)
