"""What happens where a service cannot run: nothing fails silently, and nothing broken is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.services import downloads, pins

pytestmark = pytest.mark.services  # are what it is about, and it takes as long

ROOT = Path(__file__).parents[3]
ASKING = "def test_asks(s3): pass\n"
LAST = "Did not run: suite (there is no go on the PATH)"


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A suite that asks for S3, on a machine with an empty cache and nothing but Python."""
    (folder / "suite").mkdir()
    (folder / "suite" / "test_asking.py").write_text(ASKING)
    plugin = ["-p", "tests.support.services.fixtures", "-p", "no:cacheprovider"]
    poor = {"PATH": "", "PYTHONPATH": str(ROOT), "FASTDATA_TEST_CACHE": str(folder / "cache")}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CI", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *options, "suite"],
        cwd=folder,
        env=inherited | poor | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("processes", [[], ["-n", "1"]], ids=["alone", "distributed"])
def test_the_last_line_says_which_suites_did_not_run(tmp_path: Path, processes: list[str]) -> None:
    done = run_pytest(tmp_path, *processes)

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == LAST


def test_a_required_service_that_cannot_run_is_a_failure(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--require-services")

    assert done.returncode == 1
    assert "there is no go on the PATH" in done.stdout


def test_ci_requires_the_services(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, CI="true").returncode == 1


def test_a_test_that_asks_for_a_service_can_be_left_out(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "-m", "not services")

    assert "1 deselected" in done.stdout


def test_fetching_says_what_cannot_be_had(tmp_path: Path) -> None:
    poor = {"PATH": "", "PIP_NO_INDEX": "1", "FASTDATA_TEST_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.services", "fetch"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "JAVA_HOME"} | poor,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0
    assert "Kafka: cannot run here: there is no java on the PATH" in done.stderr


def test_what_is_not_what_was_pinned_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTDATA_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\nexit 0\n")  # fetches nothing
    maven.chmod(0o755)

    with pytest.raises(downloads.UnavailableError, match=f"pinned is {pins.KAFKA.sha256}"):
        downloads.jars(pins.KAFKA)

    assert not (tmp_path / "cache" / "kafka_2.13-4.3.1").exists()
