"""What `fastdata doctor` says of whole deployments."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker

ALL = {
    "settings", "declarations", "versions", "broker", "registry", "archive", "store", "state",
    "clock", "topics of clicks", "epoch of clicks",
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with MockBroker() as broker:
        broker.create("clicks", 2)
        yield Lab(tmp_path / "lab", broker.address, "clicks")


def levels(shown: str) -> dict[str, str]:
    return {result["check"]: result["level"] for result in json.loads(shown)["results"]}


def test_a_deployment_that_has_not_begun_has_warnings_alone(lab: Lab) -> None:
    done = lab.fastdata("doctor", "--json")

    assert (done.returncode, done.stderr) == (1, "")
    found = levels(done.stdout)
    assert found.keys() == ALL
    # A mock has no controller, and tells no configuration.
    assert {name for name, level in found.items() if level != "ok"} == {
        "broker", "archive", "store", "topics of clicks",
    }  # fmt: skip


def test_all_is_checked_whatever_fails(lab: Lab) -> None:
    done = lab.fastdata(
        "doctor", "--json", FASTDATA_BROKER="127.0.0.1:1", FASTDATA_REGISTRY="nowhere",
        FASTDATA_STORE="mysql://me:hunter2@db/store",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (2, "")
    assert "hunter2" not in done.stdout
    found = levels(done.stdout)
    assert found.keys() == ALL
    failed = {name for name, level in found.items() if level == "failed"}
    assert failed == ALL - {"settings", "declarations", "versions", "archive", "state"}


def test_a_wrong_setting_and_a_wrong_declaration_are_findings(lab: Lab) -> None:
    wrong = lab.fastdata("doctor", FASTDATA_TILE_BYTES="few")
    assert wrong.returncode == 2
    assert wrong.stdout.startswith("failed   settings  wrong settings: tile_bytes")
    assert wrong.stderr == ""

    (lab.folder / "agents/broken.py").write_text("1 / 0\n")
    broken = lab.fastdata("doctor")
    assert broken.returncode == 2
    assert "broken.py:1: ZeroDivisionError" in broken.stdout
    assert "broker" in broken.stdout
