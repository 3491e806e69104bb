"""`fastdata worker --processes` on a broker that speaks the Kafka protocol."""

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.lab import Lab, stop
from tests.support.supervising import children, supervised

pytestmark = pytest.mark.processes


def is_gone(pid: int) -> bool:
    with suppress(OSError):  # that of /proc, once it is buried
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def test_two_fold_everything_once_and_one_that_is_killed_comes_back(lab: Lab) -> None:
    lab.produce(1_000)
    with supervised(lab) as supervisor:
        lab.wait_until_folded(1_000)
        killed, other = children(supervisor.pid)
        os.kill(killed, signal.SIGKILL)
        lab.produce(2_000)
        lab.wait_until_folded(3_000)
        lab.wait_until(lambda: len(children(supervisor.pid)) == 2)
        assert other in children(supervisor.pid)
        assert stop(supervisor) == 0

    assert await lab.answer() == lab.expected()
    said = (lab.folder / "worker.log").read_text().splitlines()
    killed_line = "was killed by signal 9; it is started again in 1 s"
    assert [line.split(maxsplit=3)[3] for line in said if "started again" in line] == [killed_line]
    assert all(re.match(r"\[[12]\] |fastdata: process", line) for line in said)
    folders = sorted(folder.name for folder in (lab.folder / "data/state").iterdir())
    assert folders == ["worker-0", "worker-1"]


async def test_their_number_may_change_and_nothing_is_lost(lab: Lab) -> None:
    for step, processes in enumerate((1, 3, 1), start=1):
        lab.produce(500)
        with supervised(lab, processes) as supervisor:
            lab.wait_until_folded(500 * step)
            assert stop(supervisor) == 0

        assert await lab.answer() == lab.expected()


async def test_sigterm_has_all_write_out_what_they_have_folded(lab: Lab) -> None:
    lab.environment["FASTDATA_COMMIT_INTERVAL_S"] = "60"
    with (lab.folder / "agents/clicks.py").open("a") as agents:
        agents.write("""

@clicks.map
def note(event):
    with open("noted", "a") as file:
        file.write(".")
    return event
""")
    lab.produce(1_000)
    noted = lab.folder / "noted"
    with supervised(lab) as supervisor:
        lab.wait_until(lambda: noted.exists() and noted.stat().st_size >= 1_000)
        assert stop(supervisor) == 0

    assert lab.folded() == 1_000
    assert await lab.answer() == lab.expected()


async def test_a_supervisor_that_is_killed_takes_its_workers_along(lab: Lab) -> None:
    lab.produce(500)
    with supervised(lab) as supervisor:
        lab.wait_until_folded(500)
        workers = children(supervisor.pid)
        assert len(workers) == 2
        supervisor.kill()
        supervisor.wait()
        lab.wait_until(lambda: all(map(is_gone, workers)), 60)

    assert await lab.answer() == lab.expected()


@pytest.mark.nightly
@pytest.mark.parametrize("after_s", [0.6, 1.0, 1.4, 2.0, 3.0, 4.0])
def test_all_end_well_whatever_they_are_about_to_do(lab: Lab, after_s: float) -> None:
    lab.produce(100)
    with supervised(lab) as supervisor:
        time.sleep(after_s)
        workers = children(supervisor.pid)
        code = stop(supervisor)
        assert code == 0, (lab.folder / "worker.log").read_text()
        assert all(map(is_gone, workers))


def test_a_wrong_declaration_is_said_once_and_starts_nothing(lab: Lab) -> None:
    source = (lab.folder / "agents/clicks.py").read_text()
    (lab.folder / "agents/clicks.py").write_text(source.replace('time="at"', 'time="when"'))
    run = lab.fastdata("worker", "--processes", "2")
    alone = lab.fastdata("worker")

    assert (run.returncode, run.stdout, run.stderr) == (1, "", alone.stderr)
    assert run.stderr.count("\n") == 1
    assert "has no field 'when'" in run.stderr
    assert not (lab.folder / "data/state").exists()
