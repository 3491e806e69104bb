"""Producers that commit and abort: aborted events are nowhere, and markers leave holes."""

import json
import random
from collections import Counter

from confluent_kafka import Producer

from fastdata import query
from fastdata.store.opening import open_store
from tests.support.lab import PARTITIONS, Lab

TRANSACTIONS, EVENTS, ABORTED = 40, 50, 0.3


def send_transactions(lab: Lab, seed: int) -> None:
    """Send, and take some of it back; the last transaction is taken back."""
    rng = random.Random(seed)
    servers = lab.environment["FASTDATA_BROKER"]
    config = {"bootstrap.servers": servers, "transactional.id": lab.topic, "linger.ms": 2}
    producer = Producer(config)
    producer.init_transactions(20)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        if number == TRANSACTIONS - 1 or rng.random() < ABORTED:
            for n in range(EVENTS):
                value = lab.event(n, f"aborted-{number}-{n}")
                producer.produce(lab.topic, value, partition=n % PARTITIONS)
            producer.flush(20)  # they are in the log before they are taken back
            producer.abort_transaction(20)
        else:
            lab.produce(EVENTS, producer)
            producer.commit_transaction(20)


async def answered(lab: Lab) -> tuple[Counter[str], Counter[str]]:
    """Events and amounts per page, as a user reads them."""
    async with open_store(lab.store, create=False) as store:
        rows = (await query(lab.pages, every="all", by="page", store=store)).to_pylist()
    counts = Counter({row["page"]: row["n"] for row in rows})
    return counts, Counter({row["page"]: row["amount"] for row in rows})


async def test_aborted_transactions_are_in_no_layer(lab: Lab) -> None:
    send_transactions(lab, seed=1)
    with lab.worker():
        lab.wait_until_folded(1)
        await lab.until_answered()
    fresh = await answered(lab)
    archived = lab.fastdata("archive", "--once")
    replayed = lab.fastdata("replay", "--json")
    exact = await answered(lab)
    status = json.loads(lab.fastdata("status", "--json").stdout)

    assert (archived.returncode, replayed.returncode) == (0, 0), archived.stderr + replayed.stderr
    assert fresh == lab.expected()
    assert exact == lab.expected()
    (source,) = status["sources"]
    closed = sum(one["covered"] for one in source["partitions"])
    assert closed > 0, "the replay counted nothing"
    assert [one["lag"] for one in source["partitions"]] == [0] * PARTITIONS
    assert status["problems"] == []
