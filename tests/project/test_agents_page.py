"""The app of docs/agents.md: it scores payments, is killed, and each has its decision."""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from fastavro import schemaless_reader

from fastdata.coordinates.instants import DAY_MS, now_ms
from fastdata.events.schema import Schema, encode
from tests.support.lab import ROOT, Lab, stop
from tests.support.mockbroker import MockBroker

pytestmark = pytest.mark.processes

CUSTOMERS, BEFORE, PAYMENTS = 10, 12, 200
STRANGERS = range(7, CUSTOMERS)  # what they have paid is older than sixty days
PAYMENT = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "payment_id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "double"},
    ],
}
DECISION = {
    "type": "record",
    "name": "Decision",
    "fields": [
        {"name": "payment_id", "type": "string"},
        {"name": "known", "type": "long"},
        {"name": "is_usual", "type": "boolean"},
    ],
}


class Shop(Lab):
    """A lab whose events are payments, each customer's in one partition."""

    def __init__(self, folder: Path, broker: MockBroker) -> None:
        for topic in ("payments", "decisions"):
            broker.create(topic)
        super().__init__(folder, broker.address, "payments")
        page = (ROOT / "docs/agents.md").read_text()
        declared, app = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        (folder / "agents/clicks.py").unlink()
        (folder / "agents/payments.py").write_text(declared)
        (folder / "fraud.py").write_text(app)
        (folder / "schemas/payment.avsc").write_text(json.dumps(PAYMENT))
        (folder / "schemas/decision.avsc").write_text(json.dumps(DECISION))
        self.paying = Schema.load(folder / "schemas/payment.avsc")

    def pay(self, id: str, customer: int, at: int, amount: float) -> None:
        fields = {"payment_id": id, "at": at, "customer": f"c{customer}", "amount": amount}
        value = encode(self.paying, fields)
        self._producer.produce("payments", value, partition=customer % 4)

    def flush(self) -> None:
        producer: Producer = self._producer
        producer.flush()

    def decisions(self) -> dict[str, list[tuple[int, bool]]]:
        """All decisions on each payment: how many were known, and whether it is usual."""
        schema = Schema.load(self.folder / "schemas/decision.avsc")
        found: dict[str, list[tuple[int, bool]]] = {}
        for message in self.read("decisions", 100_000, 4.0):
            value = message.value()
            assert value is not None
            datum: Any = schemaless_reader(BytesIO(value[5:]), schema.parsed, None)
            assert message.key() == datum["payment_id"].encode()
            found.setdefault(datum["payment_id"], []).append((datum["known"], datum["is_usual"]))
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    with MockBroker() as broker:
        yield Shop(tmp_path, broker)


def test_each_payment_has_its_decision_though_the_app_is_killed(shop: Shop) -> None:
    now = now_ms()
    for n in range(BEFORE):
        for customer in range(CUSTOMERS):
            first = 70 if customer in STRANGERS else 50
            shop.pay(f"h{n}-{customer}", customer, now - first * DAY_MS + n * DAY_MS // 2, 10.0)
    shop.flush()
    with shop.worker("fastdata") as folding:
        shop.wait_until_folded(BEFORE * CUSTOMERS)
        # Two large ones of each customer: more would become usual.
        sent = [(f"p{n}", n % CUSTOMERS, n % 100 < CUSTOMERS) for n in range(PAYMENTS)]
        for id, customer, is_large in sent:
            shop.pay(id, customer, now, 1_000.0 if is_large else 10.0)
        shop.flush()
        with shop.worker("fraud") as worker:
            assert len(shop.read("decisions", BEFORE * CUSTOMERS + 40)) == BEFORE * CUSTOMERS + 40
            worker.kill()
        assert shop.committed("fraud") < BEFORE * CUSTOMERS + PAYMENTS
        with shop.worker("fraud") as worker:
            shop.wait_until(lambda: shop.committed("fraud") == BEFORE * CUSTOMERS + PAYMENTS)
            assert stop(worker) == 0
        assert stop(folding) == 0

    decisions = shop.decisions()
    assert {id for id, _, _ in sent} <= decisions.keys()
    paid = dict.fromkeys(range(CUSTOMERS), 0)
    for _, customer, _ in sent:
        paid[customer] += 1
    for id, customer, is_large in sent:
        before = 0 if customer in STRANGERS else BEFORE
        for known, is_usual in decisions[id]:
            assert before <= known <= before + paid[customer]
            assert is_usual is (known >= 10 and not is_large), (id, known)
