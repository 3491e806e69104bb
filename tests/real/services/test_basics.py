"""Each service starts, and a client gets back what it put in."""

import json

import asyncpg
import obstore
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.support.services.cassandra import Cassandra
from tests.support.services.kafka import Kafka
from tests.support.services.postgres import Postgres
from tests.support.services.registry import Registry
from tests.support.services.s3 import S3

SCHEMA = '{"type": "record", "name": "Click", "fields": [{"name": "id", "type": "string"}]}'
INCOMPATIBLE = '{"type": "record", "name": "Click", "fields": [{"name": "no", "type": "long"}]}'


def test_kafka_returns_a_record(kafka: Kafka) -> None:
    kafka.create("basics", 3, cleanup_policy="compact")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("basics", b"value", key=b"key", partition=2)
    assert producer.flush(10) == 0
    reader = {"group.id": "basics", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap} | reader)
    consumer.subscribe(["basics"])

    message = consumer.poll(20)
    consumer.close()

    assert message is not None
    assert (message.partition(), message.value()) == (2, b"value")


def test_cassandra_returns_a_row(cassandra: Cassandra) -> None:
    cassandra.make_keyspace("basics")
    with cassandra.session() as session:
        session.execute("create table basics.numbers (name text primary key, number int)")
        session.execute("insert into basics.numbers (name, number) values ('seven', 7)")

        rows = session.execute("select name, number from basics.numbers").all()

    assert [tuple(row) for row in rows] == [("seven", 7)]


async def test_postgres_has_a_database_for_each_who_asks(postgres: Postgres) -> None:
    one, other = await asyncpg.connect(postgres.url()), await asyncpg.connect(postgres.url())
    await one.execute("create table numbers as select 7 as number")

    assert await one.fetchval("select number from numbers") == 7
    assert await other.fetchval("select to_regclass('numbers')") is None
    await one.close()
    await other.close()


def test_the_registry_knows_what_was_registered(registry: Registry) -> None:
    with SchemaRegistryClient({"url": registry.url}) as client:
        number = client.register_schema("basics-value", Schema(SCHEMA, "AVRO"))

        assert json.loads(client.get_schema(number).schema_str or "") == json.loads(SCHEMA)


def test_the_registry_refuses_an_incompatible_schema(registry: Registry) -> None:
    with SchemaRegistryClient({"url": registry.url}) as client:
        client.register_schema("refused-value", Schema(SCHEMA, "AVRO"))

        with pytest.raises(SchemaRegistryError) as refused:
            client.register_schema("refused-value", Schema(INCOMPATIBLE, "AVRO"))

    assert refused.value.http_status_code == 409


def test_s3_returns_an_object_and_keeps_it_from_a_second_writer(s3: S3) -> None:
    store = S3Store(
        s3.bucket(),
        endpoint=s3.endpoint,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
        region=s3.region,
        client_options={"allow_http": True},
    )

    obstore.put(store, "a/b", b"content", mode="create")

    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a/b", b"other", mode="create")
    assert obstore.get(store, "a/b").bytes() == b"content"
