"""Versions of a schema in one topic, read alike by both layers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaRegistryClient

from fastdata.events.schema import Schema, encode
from tests.support.lab import FIRST_MS, Lab
from tests.support.services.kafka import Kafka
from tests.support.services.registry import Registry

EACH = 150
AGENTS = """
from fastdata import Count, Metric, Source, Sum

orders = Source("orders", topic="{topic}", schema="schemas/order.avsc", time="at", id="id",
                lateness="30d", segment_size=100)
sales = Metric("sales", orders, by=["country"], measures={{"n": Count(), "amount": Sum("amount")}})
"""
SALES = ("query", "sales", "--from", "2023-11-01", "--to", "2023-12-01", "--every", "all")


def order(*fields: Mapping[str, object]) -> Schema:
    """Events whose identity and time are always there."""
    always = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]
    return Schema.parse(
        json.dumps({"type": "record", "name": "Order", "fields": [*always, *fields]})
    )


COUNTRY = {"name": "country", "type": "string", "default": "?"}
OLD = order({"name": "amount", "type": "int"})
DECLARED = order({"name": "amount", "type": "long"}, COUNTRY)
NEW = order(
    COUNTRY,
    {"name": "coupon", "type": ["null", "string"], "default": None},
    {"name": "amount", "type": "long"},
)
WRONG = order({"name": "amount", "type": "string"})


class Orders:
    """A lab whose events have several schemas, of registries or of one."""

    def __init__(self, folder: Path, broker: str, topic: str, url: str) -> None:
        self.lab = Lab(folder, broker, topic, FASTDATA_TILE_AGE_S="0.3")
        self.lab.environment["FASTDATA_REGISTRY"] = url
        (folder / "agents/clicks.py").unlink()
        (folder / "short_sessions.py").unlink()
        (folder / "agents/orders.py").write_text(AGENTS.format(topic=topic))
        (folder / "schemas/order.avsc").write_text(DECLARED.canonical)
        self.sent = 0
        self._producer = Producer({"bootstrap.servers": broker})
        self.url = url

    def give(self, schema: Schema, subject: str) -> int:
        """Register a schema as another program would; returns its id."""
        with SchemaRegistryClient({"url": self.url, "timeout": 10}) as client:
            return int(client.register_schema(subject, Registered(schema.canonical, "AVRO")))

    def send(self, schema: Schema, schema_id: int, **fields: object) -> None:
        """Append an event to the one partition."""
        record = {"id": str(self.sent), "at": FIRST_MS + self.sent, **fields}
        self._producer.produce(self.lab.topic, encode(schema, record, schema_id), partition=0)
        self.sent += 1

    def flush(self) -> None:
        self._producer.flush()

    def run(self, *command: str) -> str:
        done = self.lab.fastdata(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self) -> dict[str, tuple[int, int]]:
        """Events and amounts by country."""
        rows = json.loads(self.run(*SALES, "--by", "country", "--json"))["rows"]
        return {row["country"]: (row["n"], row["amount"]) for row in rows}


@pytest.fixture
def orders(tmp_path: Path, subject: str, kafka: Kafka, registry: Registry) -> Orders:
    kafka.create(subject, 1)
    return Orders(tmp_path, kafka.bootstrap, subject, registry.url)


def test_a_new_version_while_the_worker_runs_counts_in_both_layers(orders: Orders) -> None:
    value = f"{orders.lab.topic}-value"
    old = orders.give(OLD, value)
    for n in range(EACH):
        orders.send(OLD, old, amount=n)
    orders.flush()
    with orders.lab.worker("fastdata"):
        orders.lab.wait_until_folded(EACH)
        orders.run("schema", "register", "orders")
        new = orders.give(NEW, value)
        for n in range(EACH):  # both, turn by turn, in the same segments
            orders.send(NEW, new, amount=n << 33, country="FR", coupon=None)
            orders.send(OLD, old, amount=n)
        orders.flush()
        orders.lab.wait_until_folded(3 * EACH)
    total = sum(range(EACH))
    expected = {"?": (2 * EACH, 2 * total), "FR": (EACH, total << 33)}

    assert orders.answer() == expected
    orders.run("archive", "--once")
    del orders.lab.environment["FASTDATA_REGISTRY"]  # the archive has the schemas
    orders.run("replay", "--json")
    assert orders.answer() == expected


def test_events_of_a_schema_that_does_not_resolve_are_dead_letters(orders: Orders) -> None:
    old = orders.give(OLD, f"{orders.lab.topic}-value")
    wrong = orders.give(WRONG, f"{orders.lab.topic}-wrong")
    orders.send(OLD, old, amount=5)
    orders.send(WRONG, wrong, amount="five")
    orders.send(OLD, 987_654_321, amount=5)
    orders.send(OLD, old, amount=6)
    orders.flush()
    with orders.lab.worker("fastdata"):
        orders.lab.wait_until_folded(4)
        letters = orders.lab.read(f"{orders.lab.topic}.dead-letters", 2)
    headers = [dict(cast("list[tuple[str, bytes]]", letter.headers() or [])) for letter in letters]

    assert orders.answer() == {"?": (2, 11)}
    assert [h["fastdata.reason"] for h in headers] == [b"schema-mismatch", b"unknown-schema"]
    assert b"amount: string cannot be read as long" in headers[0]["fastdata.detail"]


def test_one_id_of_two_registries_is_two_schemas_in_the_archive(
    orders: Orders, restartable_registry: Registry
) -> None:
    """The id that one registry gave to a schema, another one gave to another."""
    given = orders.give(OLD, f"{orders.lab.topic}-value")
    for n in range(50):
        orders.send(OLD, given, amount=n)
    orders.flush()
    orders.run("archive", "--once")
    orders.url = restartable_registry.url
    numbered = 0
    while numbered != given:  # until it is as far as the first
        numbered += 1
        text = order(
            {"name": f"other{numbered}", "type": "int", "default": 0},
            {"name": "amount", "type": "long"},
        )
        assert orders.give(text, f"{orders.lab.topic}-{numbered}") <= given
        numbered = orders.give(text, f"{orders.lab.topic}-{numbered}")
    for n in range(50):
        orders.send(text, given, amount=n, **{f"other{numbered}": 1})
    orders.flush()
    orders.lab.environment["FASTDATA_REGISTRY"] = restartable_registry.url
    orders.run("archive", "--once")
    orders.run("replay", "--json")

    assert orders.answer() == {"?": (100, 2 * sum(range(50)))}


def test_check_tells_what_an_incompatible_declaration_cannot_read(orders: Orders) -> None:
    orders.give(WRONG, f"{orders.lab.topic}-value")
    checked = orders.lab.fastdata("schema", "check", "--json")
    registered = orders.lab.fastdata("schema", "register")

    (verdict,) = json.loads(checked.stdout)
    assert (checked.returncode, verdict["is_compatible"]) == (1, False)
    assert verdict["reasons"] == ["amount: string cannot be read as long"]
    assert registered.returncode == 1
    assert "cannot read the events of version 1" in registered.stderr
