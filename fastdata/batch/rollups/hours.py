"""The hours of a metric with rollups that a replay keeps whole, before readers see them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.storage import KeptStates
from fastdata.declare.metric import Metric

__all__ = ["KeptHours", "list_kept_hours"]


async def list_kept_hours(
    storage: ArchiveStorage,
    metric: Metric,
    contents: Contents,
    spans: Iterable[int],
    *,
    is_newest: bool,
    again: bool,
) -> "KeptHours":
    """What is kept of some hours of a metric, as the contents of the archive are now.

    Args:
        storage: The archive's.
        contents: At the coverage of the replay.
        spans: Those of the replay.
        is_newest: Whether there is nothing newer in the archive, so that all else is old.
        again: Keep what is kept already once more.

    Raises:
        ArchiveUnavailableError: The store did not answer for some seconds.
    """
    states = KeptStates(storage, metric, "hours")
    of_spans = {span: contents.hour_key(span, contents.coverage) for span in spans}
    keys = {span: key for span, key in of_spans.items() if key is not None}
    stored = await patiently(partial(states.keys, keys))
    return KeptHours(states, keys, stored, is_newest=is_newest, again=again)


class KeptHours:
    """What is kept of the hours of one metric, at the coverage of a replay.

    Args:
        keys: Of what the hours with events hold now, by span.
        stored: All keys under which states of a span are stored.
        is_newest: As for `list_kept_hours`.
        again: As for `list_kept_hours`.
    """

    def __init__(
        self,
        states: KeptStates,
        keys: Mapping[int, str],
        stored: dict[int, set[str]],
        *,
        is_newest: bool,
        again: bool,
    ) -> None:
        self._states = states
        self._keys = keys
        self._stored = stored
        self._is_newest = is_newest
        self._again = again

    @property
    def missing(self) -> set[int]:
        """The spans with events that are not kept."""
        return {span for span in self._keys if not self._is_kept(span)}

    def wanted(self, spans: Iterable[int]) -> list[int]:
        """Those of some spans with events that `write` would write."""
        return [span for span in spans if self._again or not self._is_kept(span)]

    async def write(self, rows: Mapping[int, Sequence[WindowState]]) -> int:
        """Keep the states of some of the spans with events; idempotent.

        Returns:
            How many hours were not kept before, or are kept again.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        spans = self.wanted(rows)
        await asyncio.gather(*(self._write(span, rows[span]) for span in spans))
        for span in spans:
            self._stored.setdefault(span, set()).add(self._keys[span])
        return len(spans)

    async def sweep(self, ahead: Collection[int]) -> None:
        """Delete what was kept of the spans when they held less.

        Args:
            ahead: Spans to leave alone, as others have counted more of them.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        keep = {
            span: self._keys[span]
            for span, keys in self._stored.items()
            if span not in ahead and keys - {self._keys[span]}
        }
        if keep and self._is_newest:
            await patiently(partial(self._states.sweep, keep))

    def _is_kept(self, span: int) -> bool:
        return self._keys[span] in self._stored.get(span, ())

    async def _write(self, span: int, rows: Sequence[WindowState]) -> None:
        key = self._keys[span]
        await patiently(partial(self._states.write, span, key, rows, again=self._again))
