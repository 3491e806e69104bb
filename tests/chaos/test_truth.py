"""The reader who knows what both layers must answer is content with them, and with nothing less."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive import open_archive_storage
from fastdata.errors import FastdataError
from fastdata.events.registry import FolderRegistry
from fastdata.store.memory import MemoryStore
from tests.agreement.driver import Log, Loop
from tests.chaos.copies import CopiesStage, Due
from tests.chaos.reading import ViolationError
from tests.chaos.stream import APP
from tests.chaos.truth import Truth
from tests.support.lab import PARTITIONS
from tests.support.mockbroker import MockBroker
from tests.support.rules import without

NOW = 1_800_000_000_000
FAILPOINTS = ("flush.before_table", "flush.after_table", "flush.after_store", "flush.after_commit")


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()


class Quiet(CopiesStage):
    """A stage whose log is a list."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.records = Log(PARTITIONS)
        super().__init__(folder, broker, "quiet", APP)

    def send_one(self, due: Due) -> None:
        self.keep(due, self.records.send(due.partition, due.value, NOW))


class Play:
    """Both layers in this process, which go on and fail in a random order; asked at each step."""

    def __init__(self, stage: Quiet) -> None:
        self.stage, self.truth, self.store = stage, Truth(stage), MemoryStore()
        registry = FolderRegistry(stage.folder / "schemas")
        storage = open_archive_storage(str(stage.folder / "archive"))
        self.loop = Loop([stage.metric], registry, stage.records, storage)
        self.random = random.Random(7)

    async def run(self, steps: int) -> None:
        """Do some steps, then fold, archive and count all."""
        await self.loop.start(self.store)
        for _ in range(steps):
            self.stage.send_next(self.random.randrange(120))
            await self._step(self.random.random())
            await self.truth.look(self.store)
        await self.loop.drain()
        await self.truth.look(self.store)
        await self._count()
        await self.truth.look(self.store)
        self.truth.check_complete()

    async def _step(self, luck: float) -> None:
        for p in self.loop.partitions:
            self.loop.fold(p, self.random.randrange(60))
        if luck < 0.15:
            failpoints.set_action(self.random.choice(FAILPOINTS), "raise")
            with suppress(failpoints.FailpointError):
                await self.loop.layer.flush()
            failpoints.reset()
            await self.loop.start(self.store)
        elif luck < 0.8:
            await self.loop.layer.flush()
        else:
            await self._count()

    async def _count(self) -> None:
        await self.loop.archive()
        await self.loop.replay()
        await self.loop.layer.clean_up()


@pytest.fixture
def play(tmp_path: Path, broker: MockBroker) -> Play:
    return Play(Quiet(tmp_path, broker.address))


async def test_a_reader_is_content_with_both_layers(play: Play) -> None:
    await play.run(80)

    sights = play.truth.sights
    seen = sights.exact_of_tips, sights.doubled, sights.hidden, len(sights.overtaken)
    assert min(seen) >= 10, seen
    assert min(play.stage.fates[fate] for fate in ("fold", "late", "repeat")) >= 100
    letters = {(letter.partition, letter.record.offset) for letter in play.loop.letters}
    assert letters == play.stage.broken


@pytest.mark.parametrize(
    "rule",
    [
        "closed segments only",
        "join by segment",
        "re-emit",
        "tip or partial",
        "tip wins by stamp",
    ],
)
async def test_a_reader_misses_each_rule(play: Play, rule: str) -> None:
    with without(rule), pytest.raises((ViolationError, FastdataError)):
        await play.run(60)
