"""Records as the archive keeps them: decoded once, for their hour, and copied.

What cannot be decoded is kept as Avro, too, with all that the log knew of it.
"""

import io
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import fastavro

from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import BadEventError, CorruptStateError, UnknownSchemaError
from fastdata.events.decoder import NO_TIMESTAMP, Datums, Decoder, read_as_written
from fastdata.events.formats import VALUE_SCHEMA, ValueReader, dump_value
from fastdata.events.schema import Schema

__all__ = [
    "REJECT_SCHEMA",
    "ArchivedRecord",
    "ArchivedRow",
    "NoRegistry",
    "read_datums",
    "read_record",
]

_HEAD_BYTES = 5
REJECT_SCHEMA = (
    '{"type":"record","name":"fastdata.Reject","fields":['
    '{"name":"offset","type":"long"},'
    '{"name":"timestamp_ms","type":"long"},'
    '{"name":"key","type":["null","bytes"]},'
    '{"name":"value","type":["null","bytes"]},'
    '{"name":"headers","type":{"type":"array","items":'
    '{"type":"record","name":"fastdata.Header","fields":['
    '{"name":"key","type":"string"},{"name":"value","type":["null","bytes"]}]}}},'
    '{"name":"reason","type":"string"}]}'
)
_PARSED_REJECT_SCHEMA = fastavro.parse_schema(json.loads(REJECT_SCHEMA))
ArchivedRow = tuple[int, int | None, str, bytes, int | None]
"""Offset, id and JSON of the schema, datum and hour; rejects have no id, and no hour.

What is no Avro has the id of the `ValueReader` that told its hour."""


class ArchivedRecord(NamedTuple):
    """A record of the log as it came; `NO_TIMESTAMP` when it has no timestamp."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class NoRegistry:
    """Objects of the archive carry their schema, so no id is ever looked up."""

    def get(self, schema_id: int) -> Schema:
        """Never asked.

        Raises:
            UnknownSchemaError: Always.
        """
        raise UnknownSchemaError(f"no schema {schema_id}")


def read_record(decoder: Decoder, record: ArchivedRecord) -> ArchivedRow:
    """The row of a record of the log; a reject if it cannot be decoded.

    A value that is no Avro is kept as it came, whether it can be read today or not.
    """
    if decoder.reader is not None and record.value is not None:
        return _keep(decoder, decoder.reader, record, record.value)
    try:
        schema, fields = decoder.read_record(record.value)
    except BadEventError as error:
        return _reject(record, error.reason)
    value = record.value or b""
    wire_id = int.from_bytes(value[1:_HEAD_BYTES], "big")
    hour = _hour_of(decoder, fields)
    return record.offset, wire_id, schema.canonical, value[_HEAD_BYTES:], hour


def read_datums(
    decoder: Decoder, schema: Schema, offsets: Sequence[int], data: bytes
) -> Iterator[ArchivedRow]:
    """The rows of Avro datums that lie one behind the other.

    One that does not fit the source is a reject with the head of the wire format before it.

    Raises:
        CorruptStateError: The data are not that many datums of the schema.
    """
    datums = Datums(data)
    canonical, schema_id = schema.canonical, schema.id
    start = 0
    for offset in offsets:
        try:
            fields = decoder.read_next(schema, datums)
        except BadEventError as error:
            end = _end_of(schema, datums, start)
            value = b"\0" + schema_id.to_bytes(4, "big") + data[start:end]
            yield _reject(ArchivedRecord(offset, NO_TIMESTAMP, None, value), error.reason)
        else:
            end = datums.tell()
            yield offset, schema_id, canonical, data[start:end], _hour_of(decoder, fields)
        start = end
    if start != len(data):
        raise CorruptStateError(f"{len(data) - start} bytes more than {len(offsets)} records")


def _keep(
    decoder: Decoder, reader: ValueReader, record: ArchivedRecord, value: bytes
) -> ArchivedRow:
    try:
        hour = _hour_of(decoder, reader.read(value, record.timestamp_ms))
    except BadEventError:
        hour = None
    datum = dump_value(record.timestamp_ms, value)
    return record.offset, reader.id, VALUE_SCHEMA.canonical, datum, hour


def _reject(record: ArchivedRecord, reason: str) -> ArchivedRow:
    headers = [{"key": key, "value": value} for key, value in record.headers]
    values = record._asdict() | {"headers": headers, "reason": reason}
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, _PARSED_REJECT_SCHEMA, values)
    return record.offset, None, REJECT_SCHEMA, datum.getvalue(), None


def _hour_of(decoder: Decoder, fields: dict[str, object]) -> int | None:
    try:
        return decoder.time_of(fields) // HOUR_MS * HOUR_MS
    except BadEventError:
        return None


def _end_of(schema: Schema, datums: io.BytesIO, start: int) -> int:
    datums.seek(start)
    try:
        read_as_written(schema, datums)
    except BadEventError as error:
        raise CorruptStateError(f"no record at byte {start} of a block: {error}") from error
    return datums.tell()
