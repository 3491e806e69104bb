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

from fastdata.speed.watchdog import EXIT_FAILED
from tests.chaos.reading import Reader
from tests.chaos.stream import Stage
from tests.support.lab import PARTITIONS

FAILPOINTS = (
    "flush.before_table", "table.after_send", "table.mid_local", "flush.after_table",
    "flush.after_store", "flush.after_commit",
)  # fmt: skip
KILLS = int(os.environ.get("FASTDATA_TEST_KILLS", "20"))

_PATIENCE_S = 300.0  # the watchdog takes up to 70

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


@dataclass(frozen=True, slots=True)
class Load:
    """How fast events come.

    Attributes:
        per_s: So many events a second, while workers are
        backlog: not that far behind.
        gate: Events to fold between two kills, or the workers would not get anywhere.
    """

    per_s: int = 100
    backlog: int = 1_500
    gate: int = 100


USUAL = Load()
# More than workers can fold; those that die are behind by whole flushes.
FULL = Load(per_s=20_000, backlog=20_000, gate=4_000)


def plan(share: float, *failpoints: str, wiping: float = 0.0, kills: int = KILLS) -> list[Kill]:
    """A share of all kills: at a random moment, at each of the failpoints, while starting."""
    rng = random.Random(share)
    round_trip = [Kill(), *map(Kill, failpoints), Kill(), Kill(is_early=True)]
    chosen = islice(cycle(round_trip), max(1, round(kills * share)))
    return [replace(kill, wipes=rng.random() < wiping) for kill in chosen]


class Scenario:
    """Workers over a stage.

    Args:
        reader: Who asks; one who knows what the speed layer alone must answer if None.
        load: How fast events come.

    Attributes:
        behind: By how many records all workers together were behind at each kill.
        reader: Asks from the first folded event on.
        kills: How many there were.
        replaced: How many workers have ended by themselves, since they were thrown out.
        takeovers: Seconds from a kill until each partition was folded further than its log was
            long, of those kills after which no other one came before that.
    """

    def __init__(
        self, stage: Stage, workers: int = 1, reader: Reader | None = None, load: Load = USUAL
    ) -> None:
        self.stage = stage
        self.behind: list[int] = []
        self._load = load
        self.reader = reader or Reader(stage)
        self.kills = 0
        self.replaced = 0
        self.takeovers: list[float] = []
        self._killed: tuple[float, dict[int, int]] | None = None
        self._began = time.monotonic()
        self._rng = random.Random(stage.rng.random())
        self._gate = 0
        self._is_sending = True
        self._sending: asyncio.Task[None] | None = None
        self._newest = 0
        self._armed: dict[str, str] = {}
        self.workers = [stage.start() for _ in range(workers)]

    @property
    def said(self) -> str:
        """The last words of the workers."""
        return (self.stage.folder / "worker.log").read_text()[-20_000:]

    async def until(self, is_reached: Callable[[], bool]) -> None:
        """Wait. Workers must not end by themselves, but for one reason."""
        deadline = time.monotonic() + _PATIENCE_S
        while not is_reached():
            for index, worker in enumerate(self.workers):
                # One that has killed itself since the look above is what is waited for.
                if worker.poll() is not None and not is_reached():
                    self._replace(index)
            self._see_takeover()
            assert time.monotonic() < deadline, f"in vain for {_PATIENCE_S} s:\n{self.said}"
            await asyncio.sleep(0.02)

    def _see_takeover(self) -> None:
        if self._killed is not None:
            moment, ends = self._killed
            if all(self.reader.folded.get(p, 0) > end for p, end in ends.items()):
                self.takeovers.append(time.monotonic() - moment)
                self._killed = None

    def _replace(self, index: int) -> None:
        """Start a worker again that has ended itself, as a supervisor would.

        The mock cluster refuses a member that comes for its partitions after the leader.
        """
        code = self.workers[index].returncode
        assert code == EXIT_FAILED, f"a worker ended with {code}:\n{self.said}"
        assert "InvalidRequestError" in self.said, self.said
        self.workers[index] = self.stage.start(**(self._armed if index == self._newest else {}))
        self.replaced += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Events come, and the reader asks, until the end of the block."""
        try:
            self.stage.send_next(self._load.gate)
            await self.until(lambda: self.stage.folded() > 0)
            async with self.reader.running():
                self._sending = asyncio.create_task(self._send())
                try:
                    yield
                finally:
                    self._sending.cancel()
        finally:
            for worker in self.workers:
                worker.kill()
                worker.wait()

    async def have_folded(self, count: int) -> None:
        """Wait until so many more records are folded."""
        target = self.reader.progress + count
        await self.until(lambda: self.reader.progress >= target)

    async def have_folded_all(self) -> None:
        """Wait until each partition is folded to where it ends now, and further."""
        ends = {p: len(log) + 10 for p, log in self.stage.log.items()}
        await self.until(lambda: all(self.reader.folded.get(p, 0) >= e for p, e in ends.items()))

    async def let_sleep(self, index: int) -> None:
        """Stop a worker, wake it up when others have its partitions."""
        await self.have_folded(300)
        sleeper = self.workers[index]
        sleeper.send_signal(signal.SIGSTOP)
        await self.have_folded_all()
        sleeper.send_signal(signal.SIGCONT)

    async def _send(self) -> None:
        sent_at = time.monotonic()
        while self._is_sending:
            await asyncio.sleep(0.05)
            # By the clock: who checks answers for long must not slow the stream down.
            due = int((time.monotonic() - sent_at) * self._load.per_s)
            sent_at += due / self._load.per_s
            room = self._load.backlog - (self.stage.sent - self.reader.progress)
            self.stage.send_next(max(0, min(due, room)))

    async def kill_all(self, kills: Sequence[Kill]) -> None:
        """Kill one worker after the other, and start each of them again; the first at random."""
        for kill, next in zip(kills, [*kills[1:], Kill()], strict=True):
            index = await self._kill(kill)
            self.kills += 1
            self.behind.append(self.stage.sent - self.reader.progress)
            ends = {p: len(log) for p, log in self.stage.log.items()}
            self._killed = time.monotonic(), ends
            if kill.wipes:
                self.wipe()
            self._armed, self._newest = self._arm(next), index
            self._start_again(index)
            self._gate = self.reader.progress + self._load.gate

    def _start_again(self, index: int) -> None:
        self.workers[index] = self.stage.start(**self._armed)

    async def _kill(self, kill: Kill) -> int:
        index = self._newest
        if kill.place is not None:
            await self.until(lambda: self.workers[index].poll() == -signal.SIGKILL)
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

    async def stop_one(self) -> None:
        """Stop the oldest worker in an orderly way; the others go on."""
        worker = self.workers.pop(0)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 120) == 0, self.said

    async def drain(self) -> None:
        """Fold what was sent and stop the workers."""
        self._is_sending = False
        if self._sending is not None:
            await self._sending  # it may be about to send once more
        self.stage.learn()
        await self.until(lambda: self.reader.progress == self.stage.sent)
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        codes = [await asyncio.to_thread(worker.wait, 120) for worker in self.workers]
        assert codes == [0] * len(codes), self.said

    def check(self) -> None:
        """Compare with what was sent, when all has ended."""
        self.reader.check_complete()
        logger.info(
            "%d kills, %d replaced, %d records with %d repeats, %d groups, %d partials, "
            "%d answers, %.0f s; takeover %s s; behind by %s",
            self.kills, self.replaced, self.stage.sent, self.stage.repeats, len(self.reader.seen),
            len(self.reader.stamps), self.reader.answers, time.monotonic() - self._began,
            " ".join(f"{each:.1f}" for each in sorted(self.takeovers)),
            " ".join(map(str, sorted(self.behind))),
        )  # fmt: skip
        assert self.stage.read(f"{self.stage.topic}.dead-letters", 1, timeout_s=1) == []
