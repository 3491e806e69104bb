"""A verification while replays run."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from fastdata.errors import VerifyError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from tests.verify.clicks import Clicks


class BusyStore(MemoryStore):
    """A store in which something happens before partials of a metric are read."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.is_busy = False

    async def partials(self, metric: str, start: int, end: int) -> Sequence[Partial]:
        if self.meanwhile and metric.startswith("visits-") and not self.is_busy:
            self.is_busy = True
            await self.meanwhile()
            self.is_busy = False
        return await super().partials(metric, start, end)


async def busy(folder: Path) -> tuple[Clicks, BusyStore]:
    store = BusyStore()
    clicks = Clicks(folder, store)
    for n in range(20):
        clicks.send(n)
    await clicks.fold()
    await clicks.replay()
    return clicks, store


async def test_a_span_that_moves_on_is_left_out(tmp_path: Path) -> None:
    clicks, store = await busy(tmp_path)

    async def once() -> None:
        store.meanwhile = None
        for n in range(20):
            clicks.send(n, id=f"d{n}")
        await clicks.fold()
        await clicks.replay()

    store.meanwhile = once
    metric = await clicks.verified()

    assert [] == metric.findings
    assert {"moved on"} == {span.speed for span in metric.spans}
    assert 20 == (await clicks.verified()).spans[23].new


async def test_spans_that_never_rest_are_an_error(tmp_path: Path) -> None:
    clicks, store = await busy(tmp_path)

    async def always() -> None:
        for n in range(10):
            clicks.send(n, id=f"d{clicks.sent}")
        await clicks.fold()
        await clicks.replay()

    store.meanwhile = always

    with pytest.raises(VerifyError, match="replays keep moving"):
        await clicks.verify()
