"""TLS and passwords: let in with the right ones, told in one line with the wrong ones."""

import json
from pathlib import Path

import pytest

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker
from fastdata.settings import Settings
from tests.support.lab import PARTITIONS, Lab
from tests.support.services.kafka import SecureKafka
from tests.support.services.server import free_port


def settings_of(server: SecureKafka, **other: object) -> dict[str, str]:
    """What lets a client in, or not when some of it is replaced."""
    right = {
        "broker": server.bootstrap,
        "broker_security_protocol": "SASL_SSL",
        "broker_username": server.user,
        "broker_password": server.password,
        "broker_ca": str(server.ca),
    }
    return {name: str(value) for name, value in (right | other).items() if value is not None}


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {f"FASTDATA_{name.upper()}": value for name, value in settings.items()}


@pytest.fixture
def lab(tmp_path: Path, secure_kafka: SecureKafka, topic: str) -> Lab:
    secure_kafka.create(topic, PARTITIONS)
    lab = Lab(tmp_path, secure_kafka.plain_bootstrap, topic)
    lab.environment |= environment(settings_of(secure_kafka))
    return lab


def test_with_the_right_password_everything_works(lab: Lab) -> None:
    lab.produce(400)
    with lab.worker("fastdata"):
        lab.wait_until_folded(400)
    archived = lab.fastdata("archive", "--once", "--json")
    status = lab.fastdata("status", "--json")

    assert (archived.returncode, status.returncode) == (0, 0), archived.stderr + status.stderr
    (source,) = json.loads(status.stdout)["sources"]
    found = [(p["log_end"], p["folded"], p["archived"]) for p in source["partitions"]]
    assert found == [(100, 100, 100)] * PARTITIONS


@pytest.mark.parametrize("command", ["worker", "archive", "status"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"broker_password": "canary"}, "refuses the user 'alice' or the password"),
        ({"broker_ca": "other_ca"}, "has a certificate that is not trusted"),
    ],
)
def test_with_a_wrong_one_a_command_ends_and_says_why(
    lab: Lab, secure_kafka: SecureKafka, command: str, wrong: dict[str, str], reason: str
) -> None:
    wrong = {name: str(getattr(secure_kafka, value, value)) for name, value in wrong.items()}
    ended = lab.fastdata(command, **environment(wrong))

    said = [line for line in ended.stderr.splitlines() if reason in line]
    assert ended.returncode == 1
    assert len(said) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout


def test_mutual_tls_works_in_place_of_a_password(lab: Lab, secure_kafka: SecureKafka) -> None:
    lab.produce(40)
    mutual = {
        "broker": secure_kafka.mutual_bootstrap,
        "broker_security_protocol": "SSL",
        "broker_ca": str(secure_kafka.ca),
        "broker_certificate": str(secure_kafka.client.certificate),
        "broker_key": str(secure_kafka.client.key),
    }
    lab.environment = {
        name: value
        for name, value in lab.environment.items()
        if name not in ("FASTDATA_BROKER_USERNAME", "FASTDATA_BROKER_PASSWORD")
    } | environment(mutual)
    with lab.worker("short_sessions"):
        lab.wait_until_folded(40)
    archived, status = lab.fastdata("archive", "--once"), lab.fastdata("status")

    assert (archived.returncode, status.returncode) == (0, 0), archived.stderr + status.stderr


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"broker_password": "no"}, "refuses the user 'alice' or the password"),
        ({"broker_username": "bob"}, "refuses the user 'bob' or the password"),
        ({"broker_sasl_mechanism": "PLAIN"}, "does not take PLAIN"),
        ({"broker_ca": "other_ca"}, "certificate that is not trusted"),
        ({"broker_ca": None}, "certificate that is not trusted"),
        ({"broker": "other_name"}, "has the certificate of another host"),
        ({"broker": "nobody"}, "nobody listens there"),
        ({"broker": "no.such.invalid:9092"}, "is no known host"),
        ({"broker": "plain"}, "hangs up on a client that speaks SASL_SSL"),
        (
            {"broker_security_protocol": "SSL", "broker_username": None, "broker_password": None},
            "hangs up on a client that speaks SSL",
        ),
        (
            {"broker_security_protocol": None, "broker_username": None, "broker_password": None}
            | {"broker_ca": None},
            "hangs up on a client that speaks PLAINTEXT",
        ),
    ],
)
async def test_the_reason_is_told(
    secure_kafka: SecureKafka, other: dict[str, object], reason: str
) -> None:
    places = {
        "other_ca": secure_kafka.other_ca,
        "other_name": secure_kafka.bootstrap.replace("127.0.0.1", "127.1"),
        "nobody": f"127.0.0.1:{free_port()}",
        "plain": secure_kafka.plain_bootstrap,
    }
    other = {name: places.get(str(value), value) for name, value in other.items()}
    broker = Broker.of(Settings.load(**settings_of(secure_kafka, **other)))

    with pytest.raises(BrokerError, match=reason) as caught:
        await broker.check()
    assert "\n" not in str(caught.value)
    assert secure_kafka.password not in f"{caught.value} {broker!r}"


async def test_one_of_several_servers_is_enough(secure_kafka: SecureKafka) -> None:
    servers = f"127.0.0.1:{free_port()},{secure_kafka.bootstrap}"
    broker = Broker.of(Settings.load(**settings_of(secure_kafka, broker=servers)))

    await broker.check()
