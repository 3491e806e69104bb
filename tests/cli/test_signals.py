"""A signal ends a command at any moment, with the right exit code."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker

SERVICES = [
    "alerts",
    "worker",
    "worker --processes 2",
    "archive",
    "archive --json",
    "dev",
    "replay --every 4h",
    "replay --every=4h",
    "serve",
    "mcp",
    "query pages --watch",
]
PIPES = ["send lines", "send lines --listen 127.0.0.1:0"]
OTHERS = [
    "alerts --once",
    "replay",
    "archive --once",
    "send lines --from-file=a.log",
    "query pages",
    "demo",
    "dev --exit",
    "status",
]


def start(command: str, folder: Path, *before: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*before, sys.executable, "-m", "fastdata", *command.split()],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_until_it_takes_signals(pid: int, number: signal.Signals) -> None:
    """Wait until Python runs our code: before that nobody can tell it what to do."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = re.search(r"SigCgt:\s*(\w+)", status)
        assert caught is not None
        if int(caught[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.001)
    raise TimeoutError


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", SERVICES + PIPES)
def test_what_runs_until_it_is_stopped_ends_well_while_it_loads(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    with start(command, tmp_path) as process:
        wait_until_it_takes_signals(process.pid, signal.SIGTERM)
        process.send_signal(number)

        assert (process.communicate(timeout=60)[0], process.returncode) == (b"", 0)


@pytest.mark.parametrize("command", OTHERS)
def test_what_was_not_done_does_not_end_as_if_it_were(tmp_path: Path, command: str) -> None:
    with start(command, tmp_path) as process:
        wait_until_it_takes_signals(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 143


@pytest.mark.parametrize("command", ["worker", "send lines"])
def test_process_1_of_a_container_takes_a_signal_while_it_loads(
    tmp_path: Path, command: str
) -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("this machine makes no process namespaces")
    with start(command, tmp_path, *unshare) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (pids := children.read_text().split()):
            time.sleep(0.001)
        wait_until_it_takes_signals(int(pids[0]), signal.SIGTERM)
        os.kill(int(pids[0]), signal.SIGTERM)

        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def broker() -> Iterator[MockBroker]:
    with MockBroker() as running:
        yield running


@pytest.mark.processes
@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.5, 3.0, 4.0])
def test_a_worker_ends_well_whatever_it_is_about_to_do(
    tmp_path: Path, broker: MockBroker, after_s: float
) -> None:
    topic = f"after-{after_s}"
    broker.create(topic)
    lab = Lab(tmp_path, broker.address, topic)
    lab.produce(100)
    command = [sys.executable, "-m", "fastdata", "worker"]
    with subprocess.Popen(
        command, cwd=lab.folder, env=lab.environment | {"FASTDATA_APPLICATION_ID": topic}
    ) as worker:
        time.sleep(after_s)
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(30) == 0
