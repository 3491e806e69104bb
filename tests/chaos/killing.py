"""Workers that are killed, again and again, while events come and a reader asks."""

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from subprocess import Popen

from tests.chaos.reading import Reader
from tests.chaos.stream import Stage
from tests.support.lab import PARTITIONS

FAILPOINTS = (
    "flush.before_table", "table.after_send", "table.mid_local", "flush.after_table",
    "flush.after_store", "flush.after_commit",
)  # fmt: skip
KILLS = int(os.environ.get("FASTDATA_TEST_KILLS", "20"))

_EVENTS_A_SECOND = 100
_BACKLOG = 1_500
_GATE = 100  # events to fold between two kills, or the workers would not get anywhere
_PATIENCE_S = 60.0

Worker = Popen[bytes]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Attributes:
        place: The failpoint; None for a random moment.
        is_early: Whether it comes while the worker may still be starting.
        wipes: Whether the worker loses its state folder.
    """

    place: str | None = None
    is_early: bool = False
    wipes: bool = False


def plan(share: float, *failpoints: str, wiping: float = 0.0) -> list[Kill]:
    """A share of all kills: at a random moment, at each of the failpoints, while starting."""
    rng = random.Random(share)
    round_trip = [Kill(), *map(Kill, failpoints), Kill(), Kill(is_early=True)]
    kills = islice(cycle(round_trip), max(1, round(KILLS * share)))
    return [replace(kill, wipes=rng.random() < wiping) for kill in kills]


class Scenario:
    """Workers over a stage.

    Attributes:
        reader: Asks from the first folded event on.
        kills: How many there were.
    """

    def __init__(self, stage: Stage, workers: int = 1) -> None:
        self.stage = stage
        self.reader = Reader(stage)
        self.kills = 0
        self._began = time.monotonic()
        self._rng = random.Random(stage.rng.random())
        self._gate = 0
        self._is_sending = True
        self._newest = 0
        self.workers = [stage.start() for _ in range(workers)]

    @property
    def said(self) -> str:
        """The last words of the workers."""
        return (self.stage.folder / "worker.log").read_text()[-6_000:]

    async def until(self, is_reached: Callable[[], bool], mortal: Worker | None = None) -> None:
        """Wait. Workers must not end by themselves, but for the mortal one."""
        deadline = time.monotonic() + _PATIENCE_S
        while not is_reached():
            for worker in self.workers:
                is_well = worker is mortal or worker.poll() is None
                assert is_well, f"a worker ended with {worker.returncode}:\n{self.said}"
            assert time.monotonic() < deadline, f"in vain for {_PATIENCE_S} s:\n{self.said}"
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Events come, and the reader asks, until the end of the block."""
        try:
            self.stage.send_next(_GATE)
            await self.until(lambda: self.stage.folded() > 0)
            async with self.reader.running():
                sending = asyncio.create_task(self._send())
                try:
                    yield
                finally:
                    sending.cancel()
        finally:
            for worker in self.workers:
                worker.kill()
                worker.wait()

    async def _send(self) -> None:
        while self._is_sending:
            if self.stage.sent - self.reader.progress < _BACKLOG:
                self.stage.send_next(_EVENTS_A_SECOND // 20)
            await asyncio.sleep(0.05)

    async def kill_all(self, kills: Sequence[Kill]) -> None:
        """Kill one worker after the other, and start each of them again; the first at random."""
        for kill, next in zip(kills, [*kills[1:], Kill()], strict=True):
            index = await self._kill(kill)
            self.kills += 1
            if kill.wipes:
                self.wipe()
            self.workers[index] = self.stage.start(**self._arm(next))
            self._newest = index
            self._gate = self.reader.progress + _GATE

    async def _kill(self, kill: Kill) -> int:
        index = self._newest
        if kill.place is not None:
            worker = self.workers[index]
            await self.until(lambda: worker.poll() is not None, mortal=worker)
        elif kill.is_early:
            await asyncio.sleep(self._rng.uniform(0.5, 4.0))
        else:
            await self.until(lambda: self.reader.progress >= self._gate)
            await asyncio.sleep(self._rng.random())
            index = self._rng.randrange(len(self.workers))
        self.workers[index].kill()
        code = self.workers[index].wait()
        assert code == -signal.SIGKILL, f"a worker ended with {code}:\n{self.said}"
        return index

    def _arm(self, kill: Kill) -> dict[str, str]:
        """Have a worker kill itself; in its first flush only when the last one got somewhere."""
        if kill.place is None:
            return {}
        is_first = self.reader.progress >= self._gate and self._rng.random() < 0.5
        a_flush = PARTITIONS if kill.place == "table.mid_local" else 1
        at = self._rng.randint(1, a_flush) + (0 if is_first else a_flush)
        return {"FASTDATA_FAILPOINTS": f"{kill.place}=kill@{at}"}

    def wipe(self) -> None:
        """Remove the state folders of the workers that are dead."""
        for folder in (self.stage.folder / "data/state").glob("worker-*"):
            with (folder / "lock").open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(folder)

    async def drain(self) -> None:
        """Fold what was sent and stop the workers."""
        self._is_sending = False
        self.stage.learn()
        await self.until(lambda: self.reader.progress == self.stage.sent)
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        codes = [await asyncio.to_thread(worker.wait, 30) for worker in self.workers]
        assert codes == [0] * len(codes), self.said

    def check(self) -> None:
        """Compare with what was sent, when all has ended."""
        self.reader.check_complete()
        logger.info(
            "%d kills, %d records, %d of them repeats, %d groups, %d partials, %d answers, %.0f s",
            self.kills, self.stage.sent, self.stage.repeats, len(self.reader.seen),
            len(self.reader.stamps), self.reader.answers, time.monotonic() - self._began,
        )  # fmt: skip
        assert self.stage.read(f"{self.stage.topic}.dead-letters", 1, timeout_s=1) == []
