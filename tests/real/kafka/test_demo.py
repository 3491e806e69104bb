"""The demo on a Kafka that was there before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.support.services.kafka import Kafka, SecureKafka

pytestmark = pytest.mark.timeout(900)


def demo(folder: Path, broker: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    words = ["demo", "--broker", broker, "--dir", str(folder), "--json"]
    return subprocess.run(
        [sys.executable, "-m", "fastdata.cli.main", *words],
        env=os.environ | {f"FASTDATA_BROKER_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def test_it_refuses_a_kafka_with_records_of_another_demo(kafka: Kafka, tmp_path: Path) -> None:
    kafka.create("flights", 4)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("flights", b"one")
    assert producer.flush(10) == 0
    done = demo(tmp_path / "new", kafka.bootstrap)

    assert done.returncode == 1
    assert f"flights at {kafka.bootstrap} had records already" in done.stderr
    assert "kafka-topics.sh" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.nightly
def test_it_counts_all_flights_and_writes_no_password(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    done = demo(
        tmp_path / "new",
        secure_kafka.bootstrap,
        SECURITY_PROTOCOL="SASL_SSL",
        USERNAME=secure_kafka.user,
        PASSWORD=secure_kafka.password,
        CA=str(secure_kafka.ca),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    year = found["months"][0]

    assert found["events"] == 336_776
    assert year["fresh"]["measures"]["flights"]["value"] == year["published"]["flights"]
    assert year["replayed"]["exact"]
    assert "flights" in found["left_behind"]
    written = [path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert not any(secure_kafka.password.encode() in content for content in written)
