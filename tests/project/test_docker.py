"""The image and the services of docker/, as far as that can be checked without an engine."""

import re
import subprocess
from pathlib import Path

import pytest

from fastdata import Settings
from tests.support.services import pins

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker" / "compose.yml").read_text()
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()

SERVICE = re.compile(r"^  ([a-z0-9-]+):\n((?:    .*\n|\n)+)", re.MULTILINE)
SERVICES = dict(SERVICE.findall(COMPOSE.partition("\nservices:\n")[2]))


def images() -> dict[str, str]:
    """The tag of each image that is named."""
    named = re.findall(r"^ +image: ([^:\s]+):(\S+)$", COMPOSE, re.MULTILINE)
    return dict(named)


def requirements(lock: str) -> set[str]:
    """Each requirement of a lock, with its hashes."""
    return set(re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip()))


def test_the_services_are_of_the_versions_that_the_tests_run_against() -> None:
    found = images()

    assert {name: found[name] for name in found.keys() - {"postgres", "fastdata"}} == {
        "apache/kafka": pins.KAFKA_VERSION,
        "cassandra": pins.CASSANDRA_VERSION,
        "apicurio/apicurio-registry": pins.APICURIO_VERSION,
        "versity/versitygw": pins.VERSITYGW_VERSION,
    }


@pytest.mark.parametrize("text", [COMPOSE, DOCKERFILE], ids=["compose.yml", "Dockerfile"])
def test_what_is_set_is_a_setting(text: str) -> None:
    known = {f"FASTDATA_{field.upper()}" for field in Settings.model_fields}

    assert set(re.findall(r"\bFASTDATA_\w+", text)) - known == set()


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - {"topics"}))
def test_a_service_tells_whether_it_is_well(service: str) -> None:
    # Those of fastdata have the check of their image.
    is_ours = "<<: *fastdata" in SERVICES[service]

    assert "healthcheck:" in SERVICES[service] or (is_ours and "HEALTHCHECK" in DOCKERFILE)


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = re.findall(r"^    ports: \[(.*)\]$", COMPOSE, re.MULTILINE)

    assert len(ports) == COMPOSE.count("ports:")
    assert all(port.startswith('"127.0.0.1:') for port in ports)


@pytest.mark.parametrize("profile", [[], ["--profile", "full"]], ids=["default", "full"])
def test_docker_understands_the_services(profile: list[str]) -> None:
    docker = ["docker", "compose"]
    try:
        subprocess.run([*docker, "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("docker compose is not installed")
    command = [*docker, "--file", "docker/compose.yml", *profile, "config", "--quiet"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (0, "")


def test_the_image_holds_what_the_tests_run_with() -> None:
    ours, all_ = requirements("requirements-worker.lock"), requirements("requirements.lock")

    assert ours <= all_
    assert {one.split("==")[0] for one in all_ - ours} >= {"pytest", "mypy"}


def test_what_the_image_is_built_from_is_sent_to_docker() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    names = [name for line in copied for name in line.split()]

    assert names
    assert [name for name in names if f"!{name}" not in sent or not (ROOT / name).exists()] == []


def test_fastdata_is_not_root_and_gets_the_signals() -> None:
    instructions = DOCKERFILE.rpartition("\nFROM ")[2]

    assert int(re.findall(r"^USER (\d+)$", instructions, re.MULTILINE)[-1]) > 0
    assert 'ENTRYPOINT ["fastdata"]\nCMD ["worker"]' in instructions
