"""The hours of a metric with rollups that a replay keeps whole, before readers see them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Hour
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.keys import hour_key
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric

__all__ = ["KeptHours"]


class KeptHours:
    """What is kept of the hours of one metric, at the coverage of a replay.

    Args:
        storage: The archive's.
        hours: What `objects` hold.
        objects: Those up to `coverage`.
        is_newest: Whether there is nothing newer in the archive, so that all else is old.
        again: Keep what is kept already once more.
    """

    def __init__(
        self,
        storage: ArchiveStorage,
        metric: Metric,
        hours: Mapping[int, Hour],
        objects: Sequence[ObjectEntry],
        coverage: Coverage,
        *,
        is_newest: bool,
        again: bool,
    ) -> None:
        self._states = KeptStates(storage, metric, "hours")
        self._hours = hours
        self._objects = objects
        self._coverage = coverage
        self._is_newest = is_newest
        self._again = again
        self._segment_size = metric.source.segment_size
        self._keys: dict[int, str] = {}
        self._found: dict[int, set[str]] = {}
        self._is_listed = False

    async def missing(self, spans: Iterable[int]) -> set[int]:
        """Those of the spans with events that are not kept; the archive is listed once only.

        Args:
            spans: The same ones each time.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        if not self._is_listed:
            keys = ((span, self._key(span)) for span in spans if span in self._hours)
            self._keys = {span: key for span, key in keys if key is not None}
            self._found = await patiently(partial(self._states.keys, self._keys))
            self._is_listed = True
        return {span for span in self._keys if not self._is_kept(span)}

    def wanted(self, spans: Iterable[int]) -> list[int]:
        """Those of the same spans that `write` would write."""
        return [span for span in spans if self._again or not self._is_kept(span)]

    async def write(self, rows: Mapping[int, Sequence[WindowState]]) -> int:
        """Keep the states of some hours of the same spans; idempotent.

        Returns:
            How many hours were not kept before, or are kept again.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        new = self.wanted(rows)
        await asyncio.gather(*(self._write(span, rows[span]) for span in new))
        for span in new:
            self._found.setdefault(span, set()).add(self._keys[span])
        return len(new)

    async def sweep(self, ahead: Collection[int]) -> None:
        """Delete what was kept of the spans when they held less.

        Args:
            ahead: Spans to leave alone, as others have counted more of them.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        keep = {
            span: self._keys[span]
            for span, keys in self._found.items()
            if span not in ahead and keys - {self._keys[span]}
        }
        if keep and self._is_newest:
            await patiently(partial(self._states.sweep, keep))

    def _is_kept(self, span: int) -> bool:
        return self._keys[span] in self._found.get(span, ())

    def _key(self, span: int) -> str | None:
        hour = self._hours[span]
        return hour_key(span, hour, self._objects, self._coverage, self._segment_size)

    async def _write(self, span: int, rows: Sequence[WindowState]) -> None:
        key = self._keys[span]
        await patiently(partial(self._states.write, span, key, rows, again=self._again))
