"""The image and the services of docker/, as far as that can be checked without an engine."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from fastdata import Settings
from fastdata.monitor import SERIES
from tests.support.services import pins

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker" / "compose.yml").read_text()
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()

# Of no test's business, or of the distribution's version.
OTHERS = {"postgres", "fastdata", "prom/prometheus", "grafana/grafana"}
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

    assert {name: found[name] for name in found.keys() - OTHERS} == {
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


ALERTS = (ROOT / "docker/prometheus/alerts.yml").read_text()
DASHBOARD = (ROOT / "docker/grafana/fastdata.json").read_text()


def told() -> set[str]:
    """The names of all that our processes tell, as Prometheus has them."""
    names = {f"fastdata_{name}": kind for name, kind, *_ in SERIES}
    totals = {f"{name}_total" for name, kind in names.items() if kind == "counter"}
    sums = {f"{n}_{part}" for n, k in names.items() if k == "summary" for part in ("sum", "count")}
    return totals | sums | {name for name, kind in names.items() if kind == "gauge"}


@pytest.mark.parametrize("text", [ALERTS, DASHBOARD], ids=["alerts", "dashboard"])
def test_what_is_asked_of_prometheus_is_told_by_our_processes(text: str) -> None:
    assert set(re.findall(r"\bfastdata_\w+", text)) - told() == set()


def test_there_is_an_alert_for_each_thing_that_should_wake_somebody() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS)

    assert alerts == [
        "FastdataLag", "FastdataNoWorker", "FastdataCoveredAge", "FastdataDeadLetters",
        "FastdataStuck",
    ]  # fmt: skip
    assert ALERTS.count("expr:") == ALERTS.count("summary:") == ALERTS.count("action:") == 5


def test_the_dashboard_shows_all_that_is_told() -> None:
    panels = json.loads(DASHBOARD)["panels"]
    shown = set(re.findall(r"\bfastdata_\w+", DASHBOARD))

    assert len({panel["id"] for panel in panels}) == len(panels) == 17
    # Their sums over metrics are those that are shown.
    assert told() - shown == {"fastdata_fold_seconds_total", "fastdata_replayed_events_total"}


def test_who_is_asked_is_a_service_and_at_the_port_of_the_image() -> None:
    config = (ROOT / "docker/prometheus/prometheus.yml").read_text()
    targets = re.findall(r'targets: \["(\w+):(\d+)"\]', config)

    assert [name for name, _ in targets] == ["worker", "archive", "replay"]
    assert {name for name, _ in targets} <= SERVICES.keys()
    assert {f"FASTDATA_METRICS_PORT={port}" for _, port in targets} == {
        *re.findall(r"FASTDATA_METRICS_PORT=\d+", DOCKERFILE)
    }


def test_each_alert_fires_when_it_should() -> None:
    try:
        run = subprocess.run(
            ["promtool", "test", "rules", "alerts_test.yml"],
            cwd=ROOT / "docker/prometheus", capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        pytest.skip("promtool is not installed")

    assert (run.returncode, run.stderr) == (0, "")
