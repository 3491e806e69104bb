"""The reader notices what it is there for."""

from collections.abc import Callable

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial, Progress
from tests.chaos.reading import Reader, ViolationError
from tests.chaos.stream import GROUPS, Stage


def partials_of(stage: Stage) -> list[Partial]:
    """What an honest worker would have stored of everything."""
    found = []
    for (metric, window, dims, partition, segment), cell in stage.cells.items():
        if metric == stage.metric.id:
            states: list[object] = [len(cell.offsets), cell.sums[-1]]
            state = stage.metric.dump(states)
            stamp = cell.offsets[-1]
            found.append(Partial(metric, window, dims, partition, segment, stamp, state))
    return found


def doubled(stage: Stage, partial: Partial) -> Partial:
    count, total = stage.metric.load(partial.state)
    assert isinstance(count, int)
    assert isinstance(total, int)
    return partial._replace(state=stage.metric.dump([count * 2, total * 2]))


def moved(stage: Stage, partial: Partial) -> Partial:
    return partial._replace(segment=partial.segment + 1, stamp=partial.stamp + 150)


def ahead(stage: Stage, partial: Partial) -> Partial:
    return partial._replace(stamp=partial.stamp + 1)


async def look(stage: Stage, partials: list[Partial], folded: int = 0) -> Reader:
    store, reader = MemoryStore(), Reader(stage)
    await store.upsert(partials, [Progress(stage.topic, 0, folded, 0, 0)])
    await reader.look(store)
    return reader


async def test_the_honest_partials_of_everything_are_complete(stage: Stage) -> None:
    stage.send_next(1)
    stage.learn()
    reader = await look(stage, partials_of(stage))

    reader.check_complete()


@pytest.mark.parametrize("spoil", [doubled, moved, ahead])
async def test_a_partial_that_is_not_the_fold_of_its_events_is_noticed(
    stage: Stage, spoil: Callable[[Stage, Partial], Partial]
) -> None:
    stage.send_next(GROUPS * 2)
    stage.learn()
    first, *others = partials_of(stage)

    with pytest.raises(ViolationError, match=r"holds|nothing that was sent"):
        await look(stage, [spoil(stage, first), *others])


async def test_an_event_that_is_called_folded_and_is_nowhere_is_noticed(stage: Stage) -> None:
    stage.send_next(GROUPS * 2)
    stage.learn()
    partials = [partial for partial in partials_of(stage) if partial.partition != 0]

    with pytest.raises(ViolationError, match="called folded"):
        await look(stage, partials, folded=1)


async def test_an_answer_that_has_lost_an_event_is_noticed(stage: Stage) -> None:
    stage.send_next(GROUPS)
    stage.learn()
    first, *others = partials_of(stage)
    reader = await look(stage, [first, *others])
    store = MemoryStore()
    await store.upsert(others, [])

    with pytest.raises(ViolationError, match="gone"):
        await reader.look(store)
