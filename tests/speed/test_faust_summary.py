"""What a worker says of itself at its start and at its end."""

import re
import subprocess
import sys

import pytest

from tests.support.lab import Lab, stop


@pytest.mark.processes
def test_a_worker_says_that_it_is_ready_and_what_it_has_done(lab: Lab) -> None:
    lab.produce(300)
    lab.send(b"no event")
    lab.send(lab.event(7, "7"), partition=3)  # a repeat
    command = [sys.executable, "-m", "fastdata", "worker"]
    with (lab.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command, cwd=lab.folder, env=lab.environment, stdout=log, stderr=subprocess.STDOUT
        )
    lab.wait_until_folded(302)
    assert stop(worker) == 0

    said = (lab.folder / "worker.log").read_text()
    lines = [line for line in said.splitlines() if "fastdata: " in line]
    assert len(lines) == 2
    assert re.search(
        r"fastdata: ready after [\d.]+ s, folds clicks \(pages\): partitions 0, 1, 2, 3 of 4$",
        lines[0],
    )
    assert re.search(
        r"fastdata: ended after [\d.]+ (s|minutes): 300 events folded, 1 left out \(repeat: 1\), "
        r"1 dead letters$",
        lines[1],
    )
