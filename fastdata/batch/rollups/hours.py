"""The hours of a metric with rollups that a replay keeps whole, before readers see them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.storage import KeptStates
from fastdata.declare.metric import Metric

__all__ = ["KeptHours"]


@dataclass(frozen=True, slots=True)
class KeptHours:
    """What is kept of the hours of one metric, at the coverage of a replay.

    Attributes:
        states: Where they are.
        keys: Of what the hours with events hold now, by span.
        stored: All keys under which there are states of a span; `write` adds to them.
        is_newest: Whether there is nothing newer in the archive, so that all else is old.
        again: Whether what is kept already is kept once more.
    """

    states: KeptStates
    keys: Mapping[int, str]
    stored: dict[int, set[str]]
    is_newest: bool
    again: bool

    @classmethod
    async def listed(
        cls,
        storage: ArchiveStorage,
        metric: Metric,
        contents: Contents,
        spans: Iterable[int],
        *,
        is_newest: bool,
        again: bool,
    ) -> Self:
        """The kept ones of some hours, as the archive has them now.

        Args:
            storage: The archive's.
            contents: At the coverage of the replay.
            spans: Those of the replay; of a metric without rollups none is kept.

        Raises:
            ArchiveUnavailableError: The store did not answer for some seconds.
        """
        states = KeptStates(storage, metric, "hours")
        keys = {
            span: key
            for span in (spans if metric.rollups else ())
            if (key := contents.hour_key(span, contents.coverage)) is not None
        }
        return cls(states, keys, await patiently(states.keys, keys), is_newest, again)

    @property
    def missing(self) -> set[int]:
        """The spans with events that are not kept."""
        return {span for span in self.keys if not self._is_kept(span)}

    def wanted(self, spans: Iterable[int]) -> list[int]:
        """Those of some spans with events that `write` would write."""
        events = (span for span in spans if span in self.keys)
        return [span for span in events if self.again or not self._is_kept(span)]

    async def write(self, rows: Mapping[int, Sequence[WindowState]]) -> int:
        """Keep the states of some of the spans with events; idempotent.

        Returns:
            How many hours were not kept before, or are kept again.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        spans = self.wanted(rows)
        write, keys = self.states.write, self.keys
        writes = (patiently(write, span, keys[span], rows[span], self.again) for span in spans)
        await asyncio.gather(*writes)
        for span in spans:
            self.stored.setdefault(span, set()).add(keys[span])
        return len(spans)

    async def sweep(self, ahead: Collection[int]) -> None:
        """Delete what was kept of the spans when they held less.

        Args:
            ahead: Spans to leave alone, as others have counted more of them.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        keep = {
            span: self.keys[span]
            for span, keys in self.stored.items()
            if span not in ahead and keys - {self.keys[span]}
        }
        if keep and self.is_newest:
            await patiently(self.states.sweep, keep)

    def _is_kept(self, span: int) -> bool:
        return self.keys[span] in self.stored.get(span, ())
