"""A worker whose disk is full, whose state is corrupt, that is interrupted, that loses its broker.

Each ends with a line that says why, and nothing is lost or counted twice when it starts again.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import rocksdict

from tests.chaos.reading import Reader
from tests.chaos.stream import DIGITS, GROUPS, Stage
from tests.support.lab import ROOT

pytestmark = pytest.mark.processes


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Makes a folder a file system of its own, of 16 MiB."""
    folders: list[str] = []

    def mount(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small file system can be mounted by root only")
        folders.append(str(folder))

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on a disk; returns the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return ballast


def said(stage: Stage) -> str:
    return (stage.folder / "worker.log").read_text()


async def check(stage: Stage, **environment: str) -> None:
    """Start a worker again, fold everything, and compare with what was sent."""
    stage.send_next(200)
    stage.learn()
    with stage.worker(**environment):
        stage.wait_until_folded(stage.sent)
    reader = Reader(stage)
    await reader.ask()
    reader.check_complete()


def until_it_ends(stage: Stage, worker: "subprocess.Popen[bytes]", within_s: float) -> int:
    """The exit code of a worker that is sent events until it ends."""
    deadline = time.monotonic() + within_s
    while worker.poll() is None:
        assert time.monotonic() < deadline, said(stage)[-4_000:]
        stage.send_next(50)
        time.sleep(0.1)
    stage.learn()
    return worker.wait()


@pytest.mark.parametrize(
    ("place", "state", "words"),
    [
        ("data/state", "data/state", "No space left on device"),
        ("data", "state", "the disk is full"),
    ],
    ids=["state", "store"],
)
async def test_a_full_disk_ends_the_worker_with_the_reason(
    stage: Stage, mount: Callable[[Path], None], place: str, state: str, words: str
) -> None:
    mount(stage.folder / place)
    stage.send_next(500)
    stage.learn()
    with stage.worker(FASTDATA_STATE=state) as worker:
        stage.wait_until_folded(stage.sent)
        ballast = fill(stage.folder / place)
        assert until_it_ends(stage, worker, within_s=180) == 70
    ballast.unlink()

    assert "fastdata ends this worker: flushing" in said(stage)
    assert words in said(stage)
    await check(stage, FASTDATA_STATE=state)


async def test_a_corrupt_cell_ends_the_worker_and_its_changelog_has_it_whole(stage: Stage) -> None:
    stage.send_next(GROUPS * 3)
    stage.learn()
    with stage.worker():
        stage.wait_until_folded(stage.sent)
    for path in (stage.folder / "data/state").glob("worker-0/v1/tables/*.db"):
        corrupt_cells(path)
    stage.send_next(GROUPS * 3)
    with stage.worker() as worker:
        assert worker.wait(180) == 70

    assert "does not verify" in said(stage)
    assert "remove its state folder and start again" in said(stage)
    shutil.rmtree(stage.folder / "data/state")
    await check(stage)


def corrupt_cells(path: Path) -> None:
    """Flip a bit in the state of each cell, behind its stamp."""
    rows = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    for key, value in cast("list[tuple[bytes, bytes]]", list(rows.items())):
        if key.startswith(b"c"):
            rows[key] = value[:-6] + bytes([value[-6] ^ 1]) + value[-5:]
    rows.close()


async def test_a_busy_worker_that_is_interrupted_flushes_what_it_has_folded(stage: Stage) -> None:
    for _ in range(8):
        stage.send_next(GROUPS * DIGITS)
        stage.learn()
    with stage.worker(FASTDATA_COMMIT_INTERVAL_S="60", FASTDATA_MAX_DIRTY_CELLS="200") as worker:
        stage.wait_until_folded(1)  # the next full set of cells is being folded
        worker.send_signal(signal.SIGINT)
        assert worker.wait(120) == 0

    assert stage.committed() == stage.folded()
    await check(stage)


def test_a_worker_that_loses_its_broker_ends_within_a_minute(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos.broker_process", "lost"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as broker:
        assert broker.stdout is not None
        stage = Stage(tmp_path, broker.stdout.readline().strip(), "lost", seed=1)
        stage.send_next(200)
        stage.learn()
        with stage.worker(FASTDATA_COMMIT_INTERVAL_S="5") as worker:
            stage.wait_until_folded(stage.sent)
            stage.send_next(200)
            stage.learn()
            time.sleep(2)  # they are folded, and the flush of them is yet to come
            broker.kill()
            began = time.monotonic()
            code = worker.wait(180)

    assert code == 70
    assert time.monotonic() - began < 60
    assert "no broker said which log" in said(stage)
