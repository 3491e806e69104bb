"""Archivers and replays that are killed, again and again, and started again."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from tests.chaos.killing import Kill
from tests.chaos.stream import Stage

__all__ = ["ARCHIVING", "COUNTING", "Archiver", "Replays"]

ARCHIVING = (
    "archive.after_object", "archive.after_tile", "archive.after_manifest", "archive.mid_merge",
    "archive.mid_cleanup", "archive.after_commit",
)  # fmt: skip
COUNTING = (
    "batch.after_open_run", "batch.after_kept_hours", "store.after_totals", "batch.before_flip",
    "store.before_flip", "store.after_flip", "batch.after_flip", "batch.before_rollup",
    "batch.before_clean_up",
)  # fmt: skip

_PATIENCE_S = 300.0

Report = dict[str, Any]


class _Command:
    """A command over a stage, of which one process runs at a time.

    Attributes:
        kills: How many of them there were.
    """

    words: tuple[str, ...]

    def __init__(self, stage: Stage) -> None:
        self.kills = 0
        self._stage = stage
        self._log = stage.folder / f"{self.words[0]}.log"
        self._random = random.Random(stage.rng.random())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """The last words of its processes."""
        return self._log.read_text()[-20_000:]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Processes may be started until the end of the block, where the last one is killed."""
        try:
            yield
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def start(self, kill: Kill | None = None, *words: str) -> "subprocess.Popen[bytes]":
        """Start a process, which kills itself if a kill has a place.

        Args:
            words: What it is told beside `words`.
        """
        place = kill.place if kill else None
        more = {"FASTDATA_FAILPOINTS": f"{place}=kill@{self._random.randint(1, 2)}"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fastdata", *self.words, *words],
                cwd=self._stage.folder,
                env=self._stage.environment | (more if place else {}),
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self._process

    async def code(self, process: "subprocess.Popen[bytes]", within_s: float = _PATIENCE_S) -> int:
        """How a process has ended.

        Raises:
            TimeoutExpired: It has not within that time.
        """
        return await asyncio.to_thread(process.wait, within_s)


class Archiver(_Command):
    """One that runs until it is killed."""

    words = ("archive", "--json")

    async def kill_all(self, kills: Sequence[Kill]) -> None:
        """Kill one after the other; the last one that is started stays."""
        for kill in kills:
            begin = self._log.stat().st_size if self._log.exists() else 0
            process = self.start(kill)
            if kill.place is None:
                await self._moment(kill, begin)
                assert process.poll() is None, f"an archiver ended by itself:\n{self.said}"
                process.kill()
            code = await self.code(process)
            assert code == -signal.SIGKILL, f"an archiver ended with {code}:\n{self.said}"
            self.kills += 1
        self.start()

    async def _moment(self, kill: Kill, begin: int) -> None:
        """Wait until it may be killed, whose reports begin there in the log."""
        if kill.is_early:
            await asyncio.sleep(self._random.uniform(0.5, 4.0))
            return
        await self._until(begin, lambda report: report["records"])
        await asyncio.sleep(self._random.uniform(0, 4))

    async def _until(self, begin: int, is_true: Callable[[Report], object]) -> None:
        """Wait until the one that runs has reported something, in its log from an offset on."""
        deadline = time.monotonic() + _PATIENCE_S
        assert self._process is not None
        while not any(map(is_true, _reports(self._log.read_bytes()[begin:]))):
            assert self._process.poll() is None, f"an archiver ended by itself:\n{self.said}"
            assert time.monotonic() < deadline, f"nothing is archived:\n{self.said}"
            await asyncio.sleep(0.1)

    async def finish(self) -> None:
        """Have the last one archive all that was sent, and end."""
        ends = {str(p): len(records) for p, records in self._stage.log.items()}
        await self._until(0, lambda report: report["position"] == ends)
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert await self.code(self._process) == 0, self.said


class Replays(_Command):
    """One after the other.

    Attributes:
        finished: How many have ended by themselves.
    """

    words = ("replay", "--workers", "0", "--json")

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.finished = 0
        self._usual_s = 4.0

    async def kill_all(self, kills: Sequence[Kill], others: Sequence["asyncio.Task[None]"]) -> None:
        """Kill one after the other, often with whole ones between; go on while others do."""
        for kill in kills:
            while not await self._is_killed(kill):
                pass  # It had nothing to do there.
            self.kills += 1
            if self._random.random() < 0.6:
                await self.finish("--resume")
        while not all(task.done() for task in others):
            await self.finish("--resume")

    async def finish(self, *options: str) -> None:
        """Have one count what is archived; one that resumes only goes as far as its run went."""
        began = time.monotonic()
        code = await self.code(self.start(None, *options))
        assert code == 0, f"a replay ended with {code}:\n{self.said}"
        self._usual_s = time.monotonic() - began
        self.finished += 1

    async def _is_killed(self, kill: Kill) -> bool:
        process = self.start(kill)
        if kill.place is None:
            moment = self._usual_s * self._random.uniform(
                *((0, 0.5) if kill.is_early else (0.4, 1))
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                await self.code(process, moment)
            process.kill()
        code = await self.code(process)
        assert code in (0, -signal.SIGKILL), f"a replay ended with {code}:\n{self.said}"
        self.finished += code == 0
        return code != 0


def _reports(said: bytes) -> Iterator[Report]:
    """What archivers have told of their progress, each in a line."""
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)
