"""Who has the wrong password, or trusts another authority, stays out."""

import ssl

import asyncpg
import pytest
from cassandra import AuthenticationFailed
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable
from confluent_kafka import Consumer, KafkaError, Producer

from tests.support.services.cassandra import SecureCassandra
from tests.support.services.kafka import SecureKafka
from tests.support.services.postgres import Postgres


def sasl(server: SecureKafka, **other: str) -> dict[str, str]:
    """Settings of a client."""
    right = {
        "bootstrap.servers": server.bootstrap,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(server.ca),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": server.user,
        "sasl.password": server.password,
    }
    return right | {name.replace("_", "."): value for name, value in other.items()}


def refusal(settings: dict[str, str]) -> KafkaError:
    """The first error of a client that tries to connect."""
    errors: list[KafkaError] = []
    producer = Producer({**settings, "error_cb": errors.append, "log_level": 0})
    for _ in range(100):
        producer.poll(0.1)
        if errors:
            break
    return errors[0]


def round_trip(topic: str, settings: dict[str, str]) -> bytes | None:
    producer = Producer(settings)
    producer.produce(topic, b"value")
    assert producer.flush(10) == 0
    reader = {"group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings | reader)
    consumer.subscribe([topic])
    message = consumer.poll(20)
    consumer.close()
    return message.value() if message is not None else None


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256"])
def test_kafka_lets_in_who_knows_the_password(secure_kafka: SecureKafka, mechanism: str) -> None:
    secure_kafka.create(f"secret-{mechanism}")

    settings = sasl(secure_kafka, sasl_mechanism=mechanism)

    assert round_trip(f"secret-{mechanism}", settings) == b"value"


def test_kafka_lets_in_who_has_a_certificate(secure_kafka: SecureKafka) -> None:
    secure_kafka.create("mutual")
    settings = {
        "bootstrap.servers": secure_kafka.mutual_bootstrap,
        "security.protocol": "SSL",
        "ssl.ca.location": str(secure_kafka.ca),
        "ssl.certificate.location": str(secure_kafka.client.certificate),
        "ssl.key.location": str(secure_kafka.client.key),
    }

    assert round_trip("mutual", settings) == b"value"


def test_kafka_refuses_a_wrong_password(secure_kafka: SecureKafka) -> None:
    error = refusal(sasl(secure_kafka, sasl_password="wrong"))

    assert error.code() == KafkaError._AUTHENTICATION


def test_kafka_is_not_trusted_by_who_trusts_another(secure_kafka: SecureKafka) -> None:
    error = refusal(sasl(secure_kafka, ssl_ca_location=str(secure_kafka.other_ca)))

    assert error.code() == KafkaError._SSL


def connect_error(server: SecureCassandra, ca: object, password: str) -> Exception:
    cluster = Cluster(
        [server.host],
        port=server.port,
        ssl_context=ssl.create_default_context(cafile=str(ca)),
        auth_provider=PlainTextAuthProvider(server.user, password),
    )
    with pytest.raises(NoHostAvailable) as refused:
        cluster.connect()
    cluster.shutdown()
    (error,) = refused.value.errors.values()
    assert isinstance(error, Exception)
    return error


def test_cassandra_lets_in_who_knows_the_password(secure_cassandra: SecureCassandra) -> None:
    with secure_cassandra.session() as session:
        row = session.execute("select cluster_name from system.local").one()

    assert tuple(row) == ("tests",)


def test_cassandra_refuses_a_wrong_password(secure_cassandra: SecureCassandra) -> None:
    error = connect_error(secure_cassandra, secure_cassandra.ca, "wrong")

    assert isinstance(error, AuthenticationFailed)


def test_cassandra_is_not_trusted_by_who_trusts_another(secure_cassandra: SecureCassandra) -> None:
    error = connect_error(secure_cassandra, secure_cassandra.other_ca, secure_cassandra.password)

    assert "CERTIFICATE_VERIFY_FAILED" in str(error)


async def test_postgres_speaks_tls_to_who_trusts_it(postgres: Postgres) -> None:
    trusting = ssl.create_default_context(cafile=postgres.ca)
    connection = await asyncpg.connect(postgres.url(), ssl=trusting)

    used = await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    await connection.close()

    assert used is True


async def test_postgres_refuses_a_wrong_password(postgres: Postgres) -> None:
    url = postgres.url().replace(postgres.password, "wrong")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_postgres_is_not_trusted_by_who_trusts_another(postgres: Postgres) -> None:
    url, other = postgres.url(), ssl.create_default_context(cafile=postgres.other_ca)

    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(url, ssl=other)
