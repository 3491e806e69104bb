"""An agent of a user on a real broker: transactions, and a kill."""

import json
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException, Producer

from tests.speed.test_agents import APP, SEEN, amounts
from tests.support.lab import Lab, stop
from tests.support.services.kafka import Kafka

pytestmark = pytest.mark.services


@pytest.mark.parametrize("attached", ["attach(app, pages)", ""], ids=["beside a metric", "alone"])
def test_committed_events_come_again_until_they_were_done(
    lab: Lab, kafka: Kafka, attached: str
) -> None:
    seen = f"{lab.topic}-seen"
    kafka.create(seen, 4)
    (lab.folder / "looking.py").write_text(APP.format(topic=lab.topic, attached=attached))
    (lab.folder / "seen.avsc").write_text(json.dumps(SEEN))
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": lab.topic})
    producer.init_transactions()
    for n in range(20):
        producer.begin_transaction()
        lab.produce(20, producer)
        if n % 5 == 4:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    lab.produce(1)
    wanted = {(str(n), n) for n in range(400) if n % 100 < 80} | {("400", 400)}

    def is_begun() -> bool:
        with suppress(KafkaException):  # a new broker has no coordinator yet
            return lab.committed() >= 60
        return False

    with lab.worker("looking") as worker:
        lab.wait_until(is_begun)
        worker.kill()
    assert 50 <= len(amounts(lab, seen)) < len(wanted)
    with lab.worker("looking") as worker:
        lab.wait_until(lambda: set(amounts(lab, seen)) >= wanted)
        assert stop(worker) == 0

    assert set(amounts(lab, seen)) == wanted
