"""What is tolerated of events that are in the log twice, one by one, and nothing beside."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from fastdata.store.memory import MemoryStore
from tests.simulation.system import System

WITHOUT_COPIES = 0  # a seed that draws none, so that there are those of the test alone


def play(folder: Path, scene: Callable[[System], Awaitable[None]]) -> None:
    async def open_new() -> MemoryStore:
        return MemoryStore()

    async def scheduled() -> None:
        system = System(WITHOUT_COPIES, open_new, folder)
        system.store = await open_new()
        await system.start_worker()
        await scene(system)

    asyncio.run(scheduled())


def write(system: System, p: int, number: int, *, is_left_out: bool = False) -> None:
    system.now += 1
    if number == len(system.log.places):
        system.log.new_event(0)
    system.log.write(p, number, system.now, system.source.schema, is_left_out=is_left_out)


async def fold_all(system: System, p: int) -> None:
    opened = system.worker.layer.partitions[p]
    for offset in range(opened.position, len(system.log[p])):
        system.worker.layer.fold(p, system.record(p, offset))
    system.worker.layer.see_end(p, len(system.log[p]), system.now)
    await system.flush()


async def replay(system: System, archived: Sequence[int] = (0, 1)) -> None:
    for p in archived:
        await system.archive(p, 40)
    await system.replay(0, 3)


def test_a_copy_in_another_partition_counts_twice_until_the_next_replay(tmp_path: Path) -> None:
    async def scene(system: System) -> None:
        write(system, 0, 0)
        write(system, 1, 0)
        await fold_all(system, 0)
        await fold_all(system, 1)
        await system.query()
        assert (system.reader.seen, system.reader.repeated) == ({0}, {0})
        assert system.reader.inexact
        await replay(system)
        await system.query()
        assert (system.reader.seen, system.reader.repeated) == ({0}, set())

    play(tmp_path, scene)


def test_a_copy_in_the_same_partition_never_counts_twice(tmp_path: Path) -> None:
    async def scene(system: System) -> None:
        write(system, 0, 0)
        write(system, 0, 0)
        await fold_all(system, 0)
        await system.query()
        assert (system.reader.seen, system.reader.repeated) == ({0}, set())

    play(tmp_path, scene)


async def hide(system: System, archived: Sequence[int] = (0, 1)) -> None:
    """Batch counts the copy of partition 0, left out, and a newer partial takes its place."""
    write(system, 0, 0, is_left_out=True)
    write(system, 1, 0)
    await fold_all(system, 0)
    await fold_all(system, 1)
    await system.query()
    assert system.reader.seen == {0}
    await replay(system, archived)
    await system.query()
    assert system.reader.seen == {0}
    write(system, 0, 1)
    await fold_all(system, 0)


def test_an_event_hides_while_batch_counts_a_copy_that_was_left_out(tmp_path: Path) -> None:
    async def scene(system: System) -> None:
        await hide(system)
        await system.query()
        assert system.reader.seen == {1}
        assert system.reader.inexact
        await replay(system)
        await system.query()
        assert system.reader.seen == {0, 1}

    play(tmp_path, scene)


def test_an_event_does_not_hide_when_a_copy_is_folded_after_the_replay(tmp_path: Path) -> None:
    async def scene(system: System) -> None:
        await hide(system)
        write(system, 1, 2)
        await fold_all(system, 1)  # the partial with its copy is newer than the tip now
        await system.query()
        assert system.reader.seen == {0, 1, 2}

    play(tmp_path, scene)


def test_an_event_does_not_hide_when_batch_has_not_read_the_folded_copy(tmp_path: Path) -> None:
    async def scene(system: System) -> None:
        await hide(system, archived=(0,))
        await system.query()
        assert system.reader.seen == {0, 1}

    play(tmp_path, scene)
