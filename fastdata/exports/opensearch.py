"""A flat table as an index of OpenSearch, a document for each row.

    <table>                        an alias: of the index that holds all
    <table>_<definition>           the rows
    fastdata_export_marks          the marks of the parts of all tables

A row has its window and dimensions for an id, so that what is sent twice is there once. It knows no
transactions: readers see each row before or after, and of a part for a moment some of both. The
marks are written when all rows of the parts are; what was killed between the two is compared again
with what is there, by a digest of each row, and only what differs is sent. So a row that stayed
keeps `updated_at` and `read_until`, both of the moment when it became what it is.

Another definition (of the metric, or of the table) gets an index of its own, and the alias, at
once, when that holds all that the store has. The old index stays; none is ever deleted.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Self, TypeVar

import pyarrow as pa
from opensearchpy import OpenSearch
from opensearchpy.helpers import bulk, scan

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ExportError
from fastdata.exports.opensearch_server import OpenSearchServer
from fastdata.exports.sql_columns import KEY, records_of
from fastdata.exports.table import FlatTable
from fastdata.exports.target import PartMarks
from fastdata.exports.versions import digest_of
from fastdata.store.sql.dialect import to_its_end

__all__ = ["OpenSearchTarget"]

_T = TypeVar("_T")
_MARKS = "fastdata_export_marks"
_DIGEST = "row_digest"
_LONGEST_WORD = 8_000  # characters, of at most 4 bytes: a word has 32,766 at most
_KEYWORD = {"type": "keyword", "ignore_above": _LONGEST_WORD}
_AT_ONCE = 5_000


class OpenSearchTarget:
    """A `Target` that is an index of OpenSearch. For one exporter at a time.

    Args:
        flat: The table.
        server: Where it is.

    Raises:
        ExportError: No index can have the name of the table, or no field a type of its columns.
    """

    def __init__(self, flat: FlatTable, server: OpenSearchServer) -> None:
        if flat.name != flat.name.lower() or flat.name.startswith("_"):
            raise ExportError(
                f"the table {flat.name!r} cannot be an index: OpenSearch wants small letters, and a"
                " letter first; name it with --table"
            )
        self.parts = flat.parts(HOUR_MS)
        self._flat = flat
        self._server = server
        self._client: OpenSearch | None = None
        self._fields = {f.name: _type_of(f) for f in flat.schema}
        self._index = f"{flat.name}_{flat.definition}"
        self._shown: str | None = None
        self._uuid = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    @to_its_end
    async def open(self) -> dict[int, str]:
        """Make the index if there is none; the marks of what it holds. See `Target`.

        Raises:
            ExportError: There is an index of that name, or the alias is of another metric.
        """
        return await self._run("open the index", self._open)

    @to_its_end
    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Send what is new of adjacent parts, and then their marks; see `Target`."""
        records = records_of(rows, self._flat.by, is_exact=False, has_nan=False)
        return await self._run("export rows", lambda c: self._replace(c, marks, records))

    @to_its_end
    async def finish(self) -> bool:
        """Let the alias show the index of this definition; see `Target`."""
        if self._shown == self._index:
            return False
        await self._run("swap the indices", self._show)
        return True

    async def _run(self, doing: str, call: Callable[[OpenSearch], _T]) -> _T:
        """Call the driver in a thread, as it blocks."""

        def work() -> _T:
            if self._client is None:
                self._client = self._server.client()
            return call(self._client)

        try:
            return await asyncio.to_thread(work)
        except self._server.errors as error:
            raise self._server.failure(error, doing) from error

    def _open(self, client: OpenSearch) -> dict[int, str]:
        name = self._flat.name
        shown = client.indices.get_alias(name=name, ignore=404) if _is_alias(client, name) else {}
        if not shown and client.indices.exists(index=name):
            raise self._is_foreign(name)
        for index in shown:
            if (metric := self._about(client, index).rpartition("-")[0]) != self._flat.metric.name:
                raise ExportError(
                    f"the index {name!r} of {self._server.shown} is of the metric {metric!r}:"
                    " choose another name with --table"
                )
        for index, fields in ((self._index, self._mapping()), (_MARKS, _MARK_FIELDS)):
            if not client.indices.exists(index=index):
                settings = {"index": {"auto_expand_replicas": "0-1"}}
                client.indices.create(index=index, body={"mappings": fields, "settings": settings})
        self._about(client, self._index)
        about = client.indices.get_settings(index=self._index)[self._index]
        self._uuid = about["settings"]["index"]["uuid"]
        self._shown = next(iter(shown), None)
        if self._shown is None:
            self._show(client)
        client.indices.refresh(index=f"{self._index},{_MARKS}")
        query = {"query": {"term": {"index": self._uuid}}}
        marks = scan(client, query, index=_MARKS, size=_AT_ONCE)
        return {hit["_source"]["part"]: hit["_source"]["mark"] for hit in marks}

    def _replace(
        self, client: OpenSearch, marks: PartMarks, records: list[dict[str, object]]
    ) -> int:
        last = self.parts.of(max(marks))
        start, end = self.parts.of(min(marks)).begins, self.parts.of(last.end).begins
        within = {"gte": start, "lt": end, "format": "epoch_millis"}
        query = {"query": {"range": {"window_start": within}}, "_source": [_DIGEST]}
        held = {
            hit["_id"]: hit["_source"][_DIGEST]
            for hit in scan(client, query, index=self._index, size=_AT_ONCE)
        }
        rows = map(self._document, records)
        new = [row for row in rows if held.pop(row["_id"], None) != row["_source"][_DIGEST]]
        gone = [{"_op_type": "delete", "_id": id} for id in held]
        self._send(client, self._index, [*new, *gone])
        failpoints.reach("export.before_marks")
        self._send(client, _MARKS, list(self._marked(marks)))
        return len(new) + len(gone)

    def _send(self, client: OpenSearch, index: str, actions: list[dict[str, Any]]) -> None:
        if actions:
            bulk(client, actions, index=index, chunk_size=_AT_ONCE, max_retries=3)
            client.indices.refresh(index=index)  # or the next look would not see it

    def _marked(self, marks: PartMarks) -> Iterator[dict[str, Any]]:
        for part, mark in marks.items():
            id = f"{self._uuid}.{part}"
            if mark is None:
                yield {"_op_type": "index", "_id": id, "_source": {"part": part}}
            else:
                source = {"index": self._uuid, "part": part, "mark": mark}
                yield {"_op_type": "index", "_id": id, "_source": source}

    def _document(self, record: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: _value(value) for name, value in record.items()}
        source = values | {_DIGEST: digest_of(values)}
        start = round(record["window_start"].timestamp() * 1000)
        return {"_op_type": "index", "_id": f"{start}.{record[KEY]}", "_source": source}

    def _mapping(self) -> dict[str, Any]:
        about = {"metric": self._flat.metric.id, "definition": self._flat.definition}
        fields = self._fields | {KEY: _KEYWORD, _DIGEST: _KEYWORD}
        return {"dynamic": False, "_meta": {"fastdata": about}, "properties": fields}

    def _about(self, client: OpenSearch, index: str) -> str:
        """The id of the metric that an index is of.

        Raises:
            ExportError: No export made it.
        """
        mapping = client.indices.get_mapping(index=index)[index]["mappings"]
        about = mapping.get("_meta", {}).get("fastdata")
        if about is None:
            raise self._is_foreign(index)
        return str(about["metric"])

    def _is_foreign(self, index: str) -> ExportError:
        return ExportError(
            f"there is an index {index!r} in {self._server.shown} that no export made: choose"
            " another name with --table, or delete it if nobody needs it"
        )

    def _show(self, client: OpenSearch) -> None:
        name = self._flat.name
        actions: list[dict[str, Any]] = [{"add": {"index": self._index, "alias": name}}]
        if self._shown is not None:
            actions.append({"remove": {"index": self._shown, "alias": name}})
        client.indices.update_aliases(body={"actions": actions})
        self._shown = self._index


_MARK_FIELDS = {
    "properties": {"index": _KEYWORD, "part": {"type": "long"}, "mark": _KEYWORD},
}


def _is_alias(client: OpenSearch, name: str) -> bool:
    return bool(client.indices.exists_alias(name=name))


def _value(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def _type_of(field: pa.Field) -> dict[str, Any]:
    """The type of a field.

    Raises:
        ExportError: It has no counterpart in OpenSearch.
    """
    type, is_ = field.type, pa.types
    simple: tuple[tuple[Callable[[pa.DataType], bool], dict[str, Any]], ...] = (
        (is_.is_boolean, {"type": "boolean"}),
        (is_.is_integer, {"type": "long"}),
        (is_.is_floating, {"type": "double"}),
        (is_.is_decimal, {"type": "double"}),
        (is_.is_string, _KEYWORD),
        (is_.is_binary, _KEYWORD),
        (is_.is_timestamp, {"type": "date"}),
        (is_.is_date, {"type": "date"}),
        (is_.is_nested, {"type": "object", "enabled": False}),
    )
    counterpart = next((counterpart for fits, counterpart in simple if fits(type)), None)
    if counterpart is None:
        raise ExportError(f"{field.name!r} has the type {type}, for which OpenSearch has no field")
    return counterpart
