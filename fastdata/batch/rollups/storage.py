"""Whole states of hours and days, kept beside the archive, so that longer windows are merged.

    rollups/<metric>/<zone>/<kind>/<YYYY-MM>/<YYYYMMDDTHHMM>Z+<key>.parquet

The time is the window's start in UTC. The key tells what was counted: a window that got events has
another key, so an object is never wrong, and stores that are fed from one archive share it. A
state is whole: also a set of values that is too large for a serving store.
"""

import asyncio
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import pyarrow as pa
from pyarrow import parquet

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.coordinates.instants import parse_instant, to_datetime
from fastdata.declare.metric import Metric
from fastdata.errors import CorruptStateError

__all__ = ["KeptHours", "KeptStates"]

_SCHEMA = pa.schema([("window", pa.int64()), ("dims", pa.string()), ("state", pa.large_binary())])
_NAME = re.compile(r"/(\d{8}T\d{4})Z\+([0-9a-f]+)\.parquet$")


class KeptStates:
    """The kept states of one metric's hours, or of its days.

    A row is the start of a day of the metric's zone in ms UTC, dimensions, and an envelope; an
    hour in which a day begins has rows of two days.

    Args:
        storage: The archive's.
    """

    def __init__(
        self, storage: ArchiveStorage, metric: Metric, kind: Literal["hours", "days"]
    ) -> None:
        zone = metric.calendar.zone.replace("/", ".")
        self._storage = storage
        self._folder = f"rollups/{metric.id}/{zone}/{kind}"

    async def keys(self, starts: Iterable[int]) -> dict[int, set[str]]:
        """The keys under which there are states of some windows, by the start of the window.

        Args:
            starts: Of windows, ms UTC.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        wanted = set(starts)
        months = sorted({self._month(start) for start in wanted})
        listed = await asyncio.gather(*map(self._storage.names, months))
        keys: dict[int, set[str]] = {}
        for name in (name for names in listed for name in names):
            match = _NAME.search(name)
            if match and (start := parse_instant(match[1])) in wanted:
                keys.setdefault(start, set()).add(match[2])
        return keys

    async def write(
        self, start: int, key: str, rows: Sequence[WindowState], again: bool = False
    ) -> None:
        """Keep the states of a window; the same again changes nothing.

        Args:
            key: Lower-case hexadecimal digits.
            again: Whether these replace what is there; for a moment nothing is.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
        out = io.BytesIO()
        parquet.write_table(
            pa.Table.from_arrays(arrays, schema=_SCHEMA), out, compression="zstd",
            use_dictionary=["window", "dims"], write_statistics=False,
        )  # fmt: skip
        name = self._name(start, key)
        if again:
            await self._storage.delete(name)
        await self._storage.create(name, out.getvalue())

    async def read(self, start: int, key: str) -> list[WindowState] | None:
        """What was kept of a window; None when nothing was.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
            CorruptStateError: It is not what `write` wrote.
        """
        name = self._name(start, key)
        data = await self._storage.get(name)
        if data is None:
            return None
        try:
            table = parquet.read_table(pa.BufferReader(data))
        except (pa.ArrowException, OSError) as error:
            raise CorruptStateError(
                f"{name} of the archive cannot be read: {error}; delete it and replay its day"
            ) from error
        if table.schema != _SCHEMA:
            raise CorruptStateError(
                f"{name} of the archive holds no states: delete it and replay its day"
            )
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    async def sweep(self, keep: Mapping[int, str]) -> int:
        """Delete the states of all other contents of these windows; how many there were.

        Args:
            keep: The key to keep, by the start of the window.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        stored = await self.keys(keep)
        old = [(start, key) for start, keys in stored.items() for key in keys - {keep[start]}]
        await self._storage.delete(*(self._name(start, key) for start, key in old))
        return len(old)

    def _name(self, start: int, key: str) -> str:
        return f"{self._month(start)}/{_iso(start)}Z+{key}.parquet"

    def _month(self, start: int) -> str:
        stamp = _iso(start)
        return f"{self._folder}/{stamp[:4]}-{stamp[4:6]}"


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


def _iso(start: int) -> str:
    return re.sub("[-:]", "", to_datetime(start).isoformat()[:16])
