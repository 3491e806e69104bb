"""Calls that are made again: how often, after which errors, and how it ends."""

import asyncio

import pytest

from fastdata.batch.publish import patiently
from fastdata.errors import (
    ArchiveHoleError,
    ArchiveUnavailableError,
    FastdataError,
    StoreUnavailableError,
)


class Flaky:
    """Fails as often as there are errors."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    async def call(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.fixture
def pauses_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes time."""
    pauses: list[float] = []

    async def sleep(delay: float) -> None:
        pauses.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return pauses


async def test_what_passes_is_waited_for(pauses_s: list[float]) -> None:
    flaky = Flaky(StoreUnavailableError("away"), ArchiveUnavailableError("away"))

    assert await patiently(flaky.call) == "done"
    assert pauses_s == [0.05, 0.25]


async def test_the_last_error_of_five_is_raised_after_some_six_seconds(
    pauses_s: list[float],
) -> None:
    flaky = Flaky(*(StoreUnavailableError(f"{number}") for number in range(9)))

    with pytest.raises(StoreUnavailableError, match="4"):
        await patiently(flaky.call)
    assert flaky.calls == 5
    assert pauses_s == [0.05, 0.25, 1.25, 5.0]


@pytest.mark.parametrize("error", [ArchiveHoleError("torn"), KeyError("a mistake")])
async def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    assert not isinstance(error, FastdataError) or not error.retriable
    flaky = Flaky(error)

    with pytest.raises(type(error)) as raised:
        await patiently(flaky.call)
    assert raised.value is error
    assert flaky.calls == 1


@pytest.mark.parametrize("is_pausing", [False, True])
async def test_who_is_cancelled_does_not_try_again(is_pausing: bool) -> None:
    flaky, reached = Flaky(StoreUnavailableError("away")), asyncio.Event()

    async def call() -> None:
        reached.set()
        if is_pausing:
            await flaky.call()
        flaky.calls += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(patiently(call))
    await reached.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1
