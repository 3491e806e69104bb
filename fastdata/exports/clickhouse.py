"""A flat table in ClickHouse, which has no transactions, but takes one INSERT as a whole.

    <table>                   a view: the newest version of each row, without those that are gone
    <table>_<definition>      the versions of rows, and the marks of parts among them

What has changed in some adjacent parts is inserted at once, with their marks: rows that are new or
differ, each as a later version of its key, and for rows that have vanished a version that says so.
So readers of the view see the parts before or after. What is the same is known from a digest of
its values, so it keeps `updated_at` and `read_until`, both of the moment when it became what it is.
ClickHouse drops old versions when it merges its files.

Another definition (of the metric, or of the table) is written beside, and the view is replaced in
one step when that holds all that the store has. The old versions stay; no table is ever dropped.
"""
# ruff: noqa: S608 - all that is put into SQL are names of ours, and quoted.

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.binding import quote_identifier as quoted
from clickhouse_connect.driver.client import Client

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS, parse_instant, to_datetime
from fastdata.errors import ExportError
from fastdata.exports.clickhouse_server import ClickHouse
from fastdata.exports.sql_columns import KEY, NEVER_NULL, records_of
from fastdata.exports.table import FlatTable
from fastdata.exports.target import PartMarks
from fastdata.exports.versions import digest_of
from fastdata.store.sql.dialect import to_its_end

__all__ = ["ClickHouseTarget"]

_T = TypeVar("_T")
_Key = tuple[int, str]  # the start of a window, ms UTC, and the key of its row
_log = logging.getLogger(__name__)

_COMMENT = "fastdata export "

_MARK = "mark"  # the key of a row that is the mark of the part that begins there
# No dimension and no measure can have such a name.
_DIGEST, _VERSION, _GONE = "0digest", "0version", "0gone"
_OURS = {
    KEY: "String",
    _DIGEST: "String",  # of a mark the mark
    _VERSION: "UInt64",
    _GONE: "UInt8",
}
_START = "intDiv(toUnixTimestamp64Micro(window_start), 1000)"
# What ClickHouse has instants for, and some more.
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2299, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = parse_instant(_FIRST), parse_instant(_LAST)
_MS = timedelta(milliseconds=1)


class ClickHouseTarget:
    """A `Target` that is a view in a ClickHouse database. For one exporter at a time.

    Args:
        flat: The table.
        server: Where it is.

    Raises:
        ExportError: A type has no counterpart in ClickHouse.
    """

    def __init__(self, flat: FlatTable, server: ClickHouse) -> None:
        self.parts = flat.parts(HOUR_MS)
        self._flat = flat
        self._server = server
        self._client: Client | None = None
        self._types = {f.name: _type_of(f) for f in flat.schema} | _OURS
        self._written = f"{flat.name}_{flat.definition}"
        self._is_shown = False
        self._version = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    @to_its_end
    async def open(self) -> dict[int, str]:
        """Make the table if there is none; the marks of what it holds. See `Target`.

        Raises:
            ExportError: There is something of that name that no export made, or of another metric.
        """
        return await self._run("open the table", self._open)

    @to_its_end
    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Insert what is new of adjacent parts, with their marks; see `Target`."""
        records = records_of(rows, self._flat.by, is_exact=True)
        return await self._run(
            "export rows", lambda client: self._replace(client, marks, records), is_writing=True
        )

    @to_its_end
    async def finish(self) -> bool:
        """Let the view show the rows of this definition; see `Target`."""
        if self._is_shown:
            return False
        await self._run(
            "swap the tables",
            lambda client: self._show(client, "CREATE OR REPLACE"),
            is_writing=True,
        )
        return True

    async def _run(
        self, doing: str, call: Callable[[Client], _T], *, is_writing: bool = False
    ) -> _T:
        """Call the driver in a thread, as it blocks."""

        def work() -> _T:
            if self._client is None:
                self._client = self._server.client()
            return call(self._client)

        try:
            return await asyncio.to_thread(work)
        except self._server.errors as error:
            raise self._server.failure(error, doing, is_writing) from error

    def _open(self, client: Client) -> dict[int, str]:
        shown = self._about(client, self._flat.name)
        if shown is not None and shown["metric"].rpartition("-")[0] != self._flat.metric.name:
            raise ExportError(
                f"the table {self._flat.name!r} in {self._server.shown} is of the metric"
                f" {shown['metric'].rpartition('-')[0]!r}: choose another name with --table"
            )
        if self._about(client, self._written) is None:
            columns = ", ".join(f"{quoted(name)} {type}" for name, type in self._types.items())
            client.command(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._written)} ({columns})"
                f" ENGINE = ReplacingMergeTree(`{_VERSION}`, `{_GONE}`)"
                f" ORDER BY (window_start, {KEY}) COMMENT {self._comment()}"
            )
        if shown is None:
            self._show(client, "CREATE")
        self._is_shown = shown is None or shown["definition"] == self._flat.definition
        self._version = self._ask(client, f"SELECT max(`{_VERSION}`) FROM {{table}}")[0][0]
        marks = f"SELECT {_START}, `{_DIGEST}` FROM {{table}} FINAL WHERE {KEY} = '{_MARK}'"
        return {int(part): str(mark) for part, mark in self._ask(client, marks)}

    def _replace(self, client: Client, marks: PartMarks, records: list[dict[str, object]]) -> int:
        last = self.parts.of(max(marks))
        begins = self.parts.of(min(marks)).begins, self.parts.of(last.end).begins
        start, end = (min(max(begin, _FIRST_MS), _LAST_MS) for begin in begins)
        held = self._ask(
            client,
            f"SELECT {_START}, {KEY}, `{_DIGEST}` FROM {{table}} FINAL WHERE {KEY} != '{_MARK}'"
            " AND window_start >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
            " AND window_start < fromUnixTimestamp64Milli({end:Int64}, 'UTC')",
            {"start": start, "end": end},
        )
        gone: dict[_Key, str] = {(window, key): digest for window, key, digest in held}
        self._version += 1
        new = [
            row
            for row in map(self._row, self._sayable(records))
            if gone.pop((_ms(row["window_start"]), row[KEY]), None) != row[_DIGEST]
        ]
        new += [self._empty(key, is_gone=True) for key in gone]
        count = len(new)
        for part, mark in marks.items():
            if _FIRST_MS <= part < _LAST_MS:
                new.append(self._empty((part, _MARK), is_gone=mark is None, digest=mark or ""))
        failpoints.reach("export.before_commit")
        if new:
            names, types = list(self._types), list(self._types.values())
            values = [[row[name] for name in names] for row in new]
            client.insert(self._written, values, names, column_type_names=types)
        return count

    def _sayable(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows whose windows ClickHouse has instants for."""
        kept = [row for row in records if _is_sayable(row["window_end"])]
        kept = [row for row in kept if _is_sayable(row["window_start"])]
        if len(kept) < len(records):
            _log.warning(
                "%s: left out %d rows of windows before 1900 or after 2298, for which ClickHouse"
                " has no instants", self._flat.name, len(records) - len(kept),
            )  # fmt: skip
        return kept

    def _row(self, record: Mapping[str, object]) -> dict[str, Any]:
        values = {name: self._value(name, value) for name, value in record.items() if name != KEY}
        return values | self._bookkeeping(str(record[KEY]), digest_of(values), is_gone=False)

    def _value(self, name: str, value: object) -> object:
        if isinstance(value, list | dict):
            return json.dumps(value, ensure_ascii=False)
        if name not in NEVER_NULL and isinstance(value, date) and not _is_sayable(value):
            return None
        return value

    def _empty(self, key: _Key, *, is_gone: bool, digest: str = "") -> dict[str, object]:
        """A mark, or what says that a row is gone."""
        nothing: dict[str, object] = dict.fromkeys(self._types)
        nothing |= dict.fromkeys(("window_end", "updated_at"), _FIRST)
        nothing |= {"window_start": to_datetime(key[0]), "layer": "", "exact": False}
        return nothing | self._bookkeeping(key[1], digest, is_gone)

    def _bookkeeping(self, key: str, digest: str, is_gone: bool) -> dict[str, object]:
        return {KEY: key, _DIGEST: digest, _VERSION: self._version, _GONE: int(is_gone)}

    def _show(self, client: Client, create: str) -> None:
        columns = ", ".join(map(quoted, [*self._flat.schema.names, KEY]))
        client.command(
            f"{create} VIEW {quoted(self._flat.name)} AS SELECT {columns}"
            f" FROM {quoted(self._written)} FINAL WHERE {KEY} != '{_MARK}'"
            f" COMMENT {self._comment()}"
        )
        self._is_shown = True

    def _comment(self) -> str:
        about = {"metric": self._flat.metric.id, "definition": self._flat.definition}
        return f"'{_COMMENT}{json.dumps(about)}'"

    def _about(self, client: Client, table: str) -> dict[str, str] | None:
        """What the comment of a table or view says of it; None when there is none.

        Raises:
            ExportError: No export made it.
        """
        rows = client.query(
            "SELECT comment FROM system.tables WHERE database = currentDatabase()"
            " AND name = {name:String}",
            parameters={"name": table},
        ).result_rows
        if not rows:
            return None
        try:
            about = json.loads(rows[0][0].removeprefix(_COMMENT))
            return {name: str(about[name]) for name in ("metric", "definition")}
        except (ValueError, KeyError, TypeError):
            raise ExportError(
                f"there is a table {table!r} in {self._server.shown} that no export made: choose"
                " another name with --table, or drop it if nobody needs it"
            ) from None

    def _ask(
        self, client: Client, query: str, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Sequence[Any]]:
        asked = query.replace("{table}", quoted(self._written))
        return client.query(asked, parameters=dict(parameters or {})).result_rows


def _ms(instant: datetime) -> int:
    return _FIRST_MS + (instant - _FIRST) // _MS


def _is_sayable(value: date) -> bool:
    """Whether ClickHouse has a date, or an instant."""
    if isinstance(value, datetime):
        return _FIRST <= value < _LAST
    return _FIRST.date() <= value < _LAST.date()


def _type_of(field: pa.Field) -> str:
    """The type of a column.

    Raises:
        ExportError: It has no counterpart in ClickHouse.
    """
    type, is_ = field.type, pa.types
    simple: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
        (is_.is_boolean, "Bool"),
        (is_.is_integer, "Int64"),
        (is_.is_floating, "Float64"),
        (is_.is_string, "String"),
        (is_.is_binary, "String"),
        (is_.is_timestamp, "DateTime64(6, 'UTC')"),
        (is_.is_date, "Date32"),
        (is_.is_nested, "String"),
    )
    name = next((counterpart for fits, counterpart in simple if fits(type)), None)
    if is_.is_decimal(type):
        name = f"Decimal({type.precision}, {type.scale})"
    if name is None:
        raise ExportError(f"{field.name!r} has the type {type}, for which ClickHouse has no column")
    return name if field.name in NEVER_NULL else f"Nullable({name})"
