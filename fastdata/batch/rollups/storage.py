"""Whole states of hours and days, kept beside the archive, so that longer windows are merged.

    rollups/<metric>/<zone>/<kind>/<YYYY-MM>/<YYYYMMDDTHHMM>Z+<key>.parquet

The time is the window's start in UTC. The key tells what was counted: a window that got events has
another key, so an object is never wrong, and stores that are fed from one archive share it. A
state is whole: also a set of values that is too large for a serving store.
"""

import asyncio
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pyarrow as pa
from pyarrow import parquet

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.coordinates.instants import parse_instant, to_datetime
from fastdata.declare.metric import Metric
from fastdata.errors import CorruptStateError

__all__ = ["KeptStates"]

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


def _iso(start: int) -> str:
    return re.sub("[-:]", "", to_datetime(start).isoformat()[:16])
