"""A supervisor and its processes, which are small scripts here instead of workers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# One script is both, as `fastdata worker` is: without --member it is the supervisor.
SCRIPT = """
import asyncio, json, os, signal, sys, time
from pathlib import Path
from fastdata.cli import supervisor

if "--member" not in sys.argv:
    supervisor._FIRST_PAUSE_S, supervisor._LONGEST_PAUSE_S, supervisor._CALM_S = {times}
    raise SystemExit(asyncio.run(supervisor.Supervisor(2).run()))

number = sys.argv[-1].rpartition("-")[2]
runs = Path(f"runs-{{number}}")
with runs.open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
run = len(runs.read_text().split())
say = lambda text: print(text, flush=True)
{work}
"""


@contextmanager
def supervisor(
    folder: Path, work: str, times: tuple[float, float, float] = (0.02, 0.08, 60)
) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor of two processes that do this work.

    Args:
        times: First and longest pause, and how long a calm one lives, all in seconds.
    """
    (folder / "script.py").write_text(SCRIPT.format(times=times, work=work))
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """The next lines of what it says on stderr."""
    assert process.stderr is not None
    return [process.stderr.readline().rstrip("\n") for _ in range(count)]


def wait_for_files(folder: Path, *names: str) -> None:
    deadline = time.monotonic() + 60
    while not all((folder / name).exists() for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Whoever is dead and waits to be buried by process 1 answers, too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_one_that_fails_is_started_again_after_pauses_that_grow(tmp_path: Path) -> None:
    with supervisor(tmp_path, "time.sleep(600) if number == '2' else sys.exit(70)") as process:
        said = read_lines(process, 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    assert said == [
        f"fastdata: process 1 ended with code 70; it is started again in {pause} s"
        for pause in (0.02, 0.04, 0.08, 0.08)
    ]
    assert len((tmp_path / "runs-2").read_text().split()) == 1


def test_a_while_without_failure_makes_the_next_pause_short_again(tmp_path: Path) -> None:
    work = "time.sleep(0.3 if number == '1' else 600); os.kill(os.getpid(), signal.SIGKILL)"
    with supervisor(tmp_path, work, times=(0.02, 60, 0.2)) as process:
        said = read_lines(process, 3)

    again = "fastdata: process 1 was killed by signal 9; it is started again in 0.02 s"
    assert said == [again] * 3


def test_one_that_cannot_start_ends_all(tmp_path: Path) -> None:
    work = """
if number == "1":
    while not Path("runs-2").exists():
        time.sleep(0.01)
    sys.exit("the topic is missing")
time.sleep(600)
"""
    with supervisor(tmp_path, work) as process:
        assert process.wait(60) == 1
        said = read_lines(process, 3)

    assert said == [
        "[1] the topic is missing",
        "fastdata: process 1 ended with code 1, and so all are stopped",
        "",
    ]


def test_one_that_failed_and_then_cannot_start_is_tried_again_while_the_other_goes_on(
    tmp_path: Path,
) -> None:
    work = "sys.exit([70, 1, 1][run - 1]) if number == '1' and run < 4 else time.sleep(600)"
    with supervisor(tmp_path, work) as process:
        said = read_lines(process, 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    assert [line.partition(";")[0] for line in said] == [
        f"fastdata: process 1 ended with code {code}" for code in (70, 1, 1)
    ]
    assert len((tmp_path / "runs-2").read_text().split()) == 1


STOPPING = """
received = []
for signal_number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(signal_number, lambda number, _: received.append(number))
"""
READY = """
Path(f"ready-{number}").touch()
while not received:
    time.sleep(0.01)
time.sleep(0.3)  # for another one
Path(f"signals-{number}").write_text(json.dumps(received))
sys.exit(int(os.environ.get(f"CODE_{number}", "0")))
"""


@pytest.mark.parametrize(("codes", "code"), [(("0", "0"), 0), (("0", "70"), 70), (("3", "0"), 3)])
def test_it_ends_when_all_have_and_with_the_first_code_that_is_not_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, str], code: int
) -> None:
    monkeypatch.setenv("CODE_1", codes[0])
    monkeypatch.setenv("CODE_2", codes[1])
    with supervisor(tmp_path, STOPPING + READY) as process:
        wait_for_files(tmp_path, "ready-1", "ready-2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == code


def test_ctrl_c_in_a_terminal_comes_to_each_process_once(tmp_path: Path) -> None:
    with supervisor(tmp_path, STOPPING + READY) as process:
        wait_for_files(tmp_path, "ready-1", "ready-2")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) == 0

    received = [json.loads((tmp_path / f"signals-{n}").read_text()) for n in (1, 2)]
    assert received == [[signal.SIGTERM], [signal.SIGTERM]]


def test_none_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervisor(tmp_path, STOPPING + "supervisor.end_with_supervisor()" + READY) as process:
        wait_for_files(tmp_path, "ready-1", "ready-2")
        process.kill()
        process.wait()
        wait_for_files(tmp_path, "signals-1", "signals-2")
        pids = [int((tmp_path / f"runs-{n}").read_text()) for n in (1, 2)]
        deadline = time.monotonic() + 60
        while any(map(is_alive, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_lines_stay_whole_and_say_whose_they_are(tmp_path: Path) -> None:
    work = """
for length in (1, 10, 300_000) * 5:
    for part in (number * length, number, "\\n"):  # in pieces, as by somebody who is slow
        sys.stdout.write(part)
        sys.stdout.flush()
        time.sleep(0.001)
sys.stdout.write(f"no end of line of {number}")
sys.stdout.flush()
print(json.dumps({"number": number}), file=sys.stderr, flush=True)
Path(f"done-{number}").touch()
time.sleep(600)
"""
    with supervisor(tmp_path, work) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(30)]
        said = read_lines(process, 2)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    for number in "12":
        mine = [line for line in lines if line.startswith(f"[{number}] ")]
        assert [len(line) - 6 for line in mine] == [1, 10, 300_000] * 5
        assert all(re.fullmatch(rf"\[\d\] {number}+\n", line) for line in mine)
    assert sorted(json.loads(line[4:])["number"] for line in said) == ["1", "2"]
    assert sorted(rest.splitlines()) == [f"[{n}] no end of line of {n}" for n in (1, 2)]


def test_the_numbers_go_on_when_nobody_reads_the_log_any_more(tmp_path: Path) -> None:
    work = """
while not Path("gone").exists():
    time.sleep(0.01)
for _ in range(1_000):
    say("x" * 1_000)
"""
    with supervisor(tmp_path, work + STOPPING + READY) as process:
        assert process.stdout is not None
        process.stdout.close()
        (tmp_path / "gone").touch()
        wait_for_files(tmp_path, "ready-1", "ready-2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout = None
