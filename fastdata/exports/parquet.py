"""A flat table as Parquet files, one for each day, in a folder or a bucket.

    <table>/window_day=2013-01-31/data.parquet     the rows whose window begins on that day
    <table>/_fastdata/state.json                   the definition, and the marks of the days

The day is that of UTC, or of the zone of days, weeks and months; with rolling days it is the last
one of the window. A file is replaced whole: readers see the one before or the one after. What lies
in a folder that begins with an underscore is no part of the data set, for Spark, pandas and DuckDB
alike. The marks are written after the files, so what was killed between the two is written again.
"""

import io
import json
from datetime import UTC, tzinfo
from typing import Self
from uuid import uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import parquet

from fastdata import failpoints
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, MINUTE_MS, ceil_to, parse_instant, to_datetime
from fastdata.errors import ExportError
from fastdata.exports.table import FlatTable
from fastdata.exports.target import PartMarks

__all__ = ["ParquetTarget"]


class ParquetTarget:
    """A `Target` that is a folder of Parquet files.

    Args:
        flat: The table.
        storage: The folder or bucket that holds the folder of the table.
    """

    def __init__(self, flat: FlatTable, storage: ArchiveStorage) -> None:
        self.parts = flat.parts(DAY_MS)
        self._zone = ZoneInfo(flat.zone) if isinstance(flat.every, Grain) else UTC
        self._flat = flat
        self._storage = storage
        self._state = f"{flat.name}/_fastdata/state.json"
        # Of this exporter alone: another one's would be renamed in its place.
        self._aside = f"{flat.name}/_fastdata/next-{uuid4().hex[:8]}"
        self._marks: dict[int, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def open(self) -> dict[int, str]:
        """The marks of the days that there are; see `Target`.

        Raises:
            ExportError: The folder holds something else, or a table of another definition.
        """
        data = await self._storage.get(self._state)
        if data is None:
            if await self._storage.names(self._flat.name):
                raise ExportError(
                    f"the folder {self._flat.name!r} holds something that no export wrote: choose"
                    " another name with --table, or empty it"
                )
            self._marks = {}
            await self._remember()
            return {}
        definition, marks = _load(self._flat.name, data, self._zone)
        if definition in self._flat.former_definitions:
            raise ExportError(
                f"the files of {self._flat.name!r} have no column 'read_until', as an earlier"
                " version wrote them: remove the folder and export again, or choose a new name with"
                " --table"
            )
        if definition != self._flat.definition:
            raise ExportError(
                f"{self._flat.name!r} was exported by definition {definition}, and the metric or"
                f" the columns are of definition {self._flat.definition} now: choose a new name"
                " with --table and point your readers there when it is complete, or remove the"
                " folder"
            )
        self._marks = marks
        return dict(marks)

    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Replace the files of some days, then remember their marks; see `Target`."""
        starts = rows.column("window_start").cast(pa.int64()).to_numpy()
        after = self.parts.of(max(marks)).end
        edges = starts.searchsorted([self.parts.of(part).begins for part in (*marks, after)])
        for part, first, last in zip(marks, edges[:-1], edges[1:], strict=True):
            await self._write(part, rows.slice(first, last - first))
            failpoints.reach("export.after_file")
        for part, mark in marks.items():
            if mark is None:
                self._marks.pop(part, None)
            else:
                self._marks[part] = mark
        await self._remember()
        return int(rows.num_rows)

    async def finish(self) -> bool:
        """Nothing to do: there is one table in a folder."""
        return False

    async def _write(self, part: int, rows: pa.Table) -> None:
        folder = f"{self._flat.name}/window_day={self._date(part)}"
        # A day without rows needs a file only in place of one: a reader may have listed it.
        if not rows.num_rows and not await self._storage.names(folder):
            return
        out = io.BytesIO()
        parquet.write_table(rows, out)
        await self._storage.replace(f"{folder}/data.parquet", out.getvalue(), self._aside)

    def _date(self, part: int) -> str:
        return to_datetime(part).astimezone(self._zone).date().isoformat()

    async def _remember(self) -> None:
        days = {self._date(part): mark for part, mark in sorted(self._marks.items())}
        state = {
            "metric": self._flat.metric.id,
            "definition": self._flat.definition,
            "marks": days,
        }
        data = json.dumps(state, indent=0).encode()
        await self._storage.replace(self._state, data, self._aside)


def _load(table: str, data: bytes, zone: tzinfo) -> tuple[str, dict[int, str]]:
    try:
        state = json.loads(data)
        starts = (ceil_to(parse_instant(day, zone), MINUTE_MS) for day in state["marks"])
        marks = zip(starts, map(str, state["marks"].values()), strict=True)
        return str(state["definition"]), dict(marks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"the state of the table {table!r} cannot be read ({error}): remove its folder, and"
            " export it again"
        ) from error
