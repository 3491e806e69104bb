"""New versions beside the old, then the pointers: what a replay does to the store."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from fastdata.batch.job import WindowState
from fastdata.batch.plan import Plan
from fastdata.coordinates.segments import Coverage
from fastdata.errors import FastdataError, SpanConflictError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Run, ServingStore, Total

__all__ = ["Publisher", "patiently"]

_T = TypeVar("_T")
_PAUSES_S = (0.05, 0.2, 1.0, 5.0)
# One transaction each; readers and workers wait no longer than for one of them.
_FLIPS_AT_ONCE = 500


async def patiently(call: Callable[[], Awaitable[_T]]) -> _T:
    """The result of an idempotent call, called again after errors that are retriable.

    Raises:
        FastdataError: What the call raises, if it is not retriable or still there after four
            more attempts in some six seconds.
    """
    for pause_s in _PAUSES_S:
        try:
            return await call()
        except FastdataError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(pause_s)
    return await call()


class Publisher:
    """Publishes the spans of one run; of those that others move meanwhile, none or some.

    Args:
        plan: Of these spans; its heads are those that may be moved.
        pace: Waited for before totals are written; None for no limit.
    """

    def __init__(self, store: ServingStore, run: Run, plan: Plan, pace: Pace | None = None) -> None:
        self._store = store
        self._run = run
        self._plan = plan
        self._pace = pace

    async def replace(self, rows: Mapping[int, Sequence[WindowState]]) -> list[int]:
        """Make totals the exact answer of their spans.

        Readers see none of it or all of it. Idempotent.

        Args:
            rows: All totals of a span, by span.

        Returns:
            The spans that now show these totals.

        Raises:
            StoreUnavailableError: The store does not answer; what is published stays.
            CommitUnknownError: The same.
        """
        run = self._run
        totals = {span: [Total(*row) for row in of_span] for span, of_span in rows.items()}
        try:
            write = partial(self._store.write_totals, run.metric, run.number, totals, self._pace)
            written = await patiently(write)
        except SpanConflictError:
            return []  # Somebody else resumed this run; what is left is planned again.
        reach("batch.before_flip")
        flips = [self._flip(span, run.number, count) for span, count in written.items()]
        moved = await self._publish(flips)
        reach("batch.after_flip")
        return moved

    async def confirm(self) -> list[int]:
        """Give the run's coverage to the spans of the plan with nothing new, or nothing at all.

        Returns:
            The spans that now have it.

        Raises:
            StoreUnavailableError: The store does not answer; what is published stays.
            CommitUnknownError: The same.
        """
        plan = self._plan
        flips = [self._flip(span, plan.heads[span].version, None) for span in plan.relabel]
        flips += [self._flip(span, self._run.number, 0) for span in plan.empty]
        return await self._publish(flips)

    def _flip(self, span: int, version: int, rows: int | None) -> Flip:
        head = self._plan.heads.get(span)
        expected: tuple[int, Coverage] | None = (head.version, head.coverage) if head else None
        return Flip(span, expected, version, self._run.coverage, rows)

    async def _publish(self, flips: Sequence[Flip]) -> list[int]:
        moved: list[int] = []
        for first in range(0, len(flips), _FLIPS_AT_ONCE):
            together = flips[first : first + _FLIPS_AT_ONCE]
            # All or none are moved; those that nobody else has moved are planned again.
            with suppress(SpanConflictError):
                await patiently(partial(self._store.publish, self._run.metric, together))
                moved += [flip.span for flip in together]
        return moved
