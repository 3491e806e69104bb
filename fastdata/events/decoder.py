"""Bytes of the log to events. Both layers read events with this and nothing else."""

import copy
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, cast

import fastavro
from fastavro.read import SchemaResolutionError

from fastdata.errors import BadEventError, DeclarationError, MapError, UnknownSchemaError
from fastdata.events.evolution import differences
from fastdata.events.formats import VALUE_SCHEMA, ValueReader, load_value
from fastdata.events.generated import DatumReader, compile_reader
from fastdata.events.logical import has_shared_defaults
from fastdata.events.registry import Schemas
from fastdata.events.schema import HEAD_BYTES, Schema, wire_id

__all__ = [
    "EARLIEST_MS",
    "LATEST_MS",
    "NO_TIMESTAMP",
    "Datums",
    "Decoder",
    "Event",
    "EventSource",
    "Mapper",
    "OnMapError",
    "read_as_written",
]

Mapper = Callable[[dict[str, object]], dict[str, object] | None]

# What becomes of an event of which a map function raises.
OnMapError = Literal["stop", "dead-letter"]

NO_TIMESTAMP = -1

# 1970-01-01 to 2200-01-01: outside of it a clock is broken or a unit is wrong.
EARLIEST_MS = 0
LATEST_MS = 7_258_118_400_000
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}

_DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
)


class EventSource(Protocol):
    """What reading the events of a source takes: a `fastdata.Source` has it all.

    Attributes:
        name: For messages.
        place: Where it is declared, for messages.
        schema: The reader's schema.
        time: The field with the event time.
        oldest_ms: The earliest time that an event can have, ms UTC.
        id: The field that identifies an event, if there is one.
        mapper: Changes each event, or drops it by returning None.
        on_map_error: What an event is of which it raises, or returns something else.
        reader: What reads values that are no Avro; None when they are.
    """

    name: str
    place: str
    schema: Schema
    time: str
    oldest_ms: int
    id: str | None
    mapper: Mapper | None
    on_map_error: OnMapError
    reader: ValueReader | None


@dataclass(slots=True)
class Event:
    """One event as the layers fold it.

    Attributes:
        time: Event time, ms UTC.
        id: The event's own id; None when the source declares none or it is null.
        fields: By name; None when the source's map function dropped the event.
    """

    time: int
    id: str | int | None
    fields: dict[str, object] | None


class Datums(io.BytesIO):
    """Bytes for who skips fields that no reader has: nothing is read after the end.

    fastavro skips numbers and `fixed` whether their bytes are there or not, and so an array of
    2**60 of them.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes as are asked for.

        Raises:
            EOFError: There are not so many.
        """
        data = super().read(size)
        if len(data) != size:
            raise EOFError(f"{len(data)} bytes of {size} are there")
        return data


def read_as_written(
    schema: Schema, datums: io.BytesIO, reader: dict[str, object] | None = None
) -> dict[str, object]:
    """The fields of the next Avro datum, before any map function.

    Args:
        schema: That the datum was written with.
        datums: Is read up to the end of the datum.
        reader: The parsed schema whose fields are returned; None for those of `schema`.

    Raises:
        BadEventError: It cannot be read, and where it ends is not known.
    """
    try:
        return cast("dict[str, object]", fastavro.schemaless_reader(datums, schema.parsed, reader))
    except _DECODE_ERRORS as error:
        raise BadEventError("decode", "malformed", f"{type(error).__name__}: {error}") from error
    except SchemaResolutionError as error:
        raise BadEventError("decode", "schema-mismatch", str(error)) from error


class Decoder:
    """Reads the events of one source. Not for concurrent use.

    Args:
        source: Whose events these are.
        registry: Where the schemas are that events were written with.

    Attributes:
        reader: What reads values that are no Avro; None when they are.
    """

    def __init__(self, source: EventSource, registry: Schemas) -> None:
        self._source = source
        self._registry = registry
        self._schema = source.schema
        self._time, self._id, self._oldest_ms = source.time, source.id, source.oldest_ms
        self._per_ms = 1000 if source.schema.fields[source.time].unit == "us" else 1
        self._reasons: dict[str, str] = {}  # by fingerprint of a writer's schema; empty: readable
        self._readers: dict[str, DatumReader] = {}  # by the same
        self._by_head: dict[bytes, tuple[Schema, DatumReader]] = {}
        self.reader = source.reader
        self._is_copying = has_shared_defaults(source.schema.parsed)

    def decode(self, value: bytes | None, timestamp_ms: int = NO_TIMESTAMP) -> Event:
        """The event of a value on the wire.

        Args:
            value: Of the record in the log.
            timestamp_ms: Of the record in the log; only values that are no Avro need it.

        Raises:
            BadEventError: It cannot be read, or its time is null or absurd; or the map function
                raised, and the source takes that for a dead letter.
            MapError: The source's map function raised.
            SchemaNeededError: The registry must be asked for its schema first.
        """
        if self.reader is not None:
            return self._event(self.reader.read(value, timestamp_ms))
        return self._event(self.read_record(value)[1])

    @property
    def has_ordinary(self) -> bool:
        """Whether events are Avro, and none is mapped; a map function may be declared late."""
        return self.reader is None and self._source.mapper is None

    def decode_ordinary(
        self, value: bytes | None
    ) -> tuple[int, str | int | None, dict[str, object]] | None:
        """The time, id and fields of `decode`; None where it is needed to tell.

        It is where the schema is not known yet, and for what is rare or wrong. To be called only
        while `has_ordinary`.
        """
        if not value or (learned := self._by_head.get(value[:HEAD_BYTES])) is None:
            return None
        if (fields := learned[1](value, HEAD_BYTES)) is None:
            return None
        at: Any = fields[self._time]
        if at is None or not self._oldest_ms <= (time := at // self._per_ms) < LATEST_MS:
            return None
        identity: Any = fields[self._id] if self._id else None
        return time, identity, fields

    def decode_datum(self, schema: Schema, datum: bytes) -> Event:
        """The event of an Avro datum as the archive keeps it, without the head of the wire format.

        Raises:
            BadEventError: As of `decode`.
            MapError: The source's map function raised.
        """
        return self._event(self.read_datum(schema, datum))

    def read_record(self, value: bytes | None) -> tuple[Schema, dict[str, object]]:
        """The writer's schema and the fields of an Avro record, before any map function.

        Raises:
            BadEventError: It cannot be read; the stage is `decode`.
            SchemaNeededError: The registry must be asked for its schema first.
        """
        if not value:
            raise BadEventError("decode", "empty", "the record has no value")
        schema, read = self._by_head.get(value[:HEAD_BYTES]) or self._learn(value)
        fields = read(value, HEAD_BYTES)
        if fields is None:
            fields = self._read_slowly(schema, value[HEAD_BYTES:])
        return schema, fields

    def _learn(self, value: bytes) -> tuple[Schema, DatumReader]:
        """The schema of a value, and what reads its datums; raises what `read_record` raises."""
        schema_id = wire_id(value)
        if schema_id is None:
            raise BadEventError("decode", "no-magic", "not in the Confluent wire format")
        try:
            schema = self._registry.get(schema_id)
        except UnknownSchemaError as error:
            raise BadEventError("decode", "unknown-schema", str(error)) from error
        except DeclarationError as error:
            raise BadEventError("decode", "unusable-schema", str(error)) from error
        self._by_head[value[:HEAD_BYTES]] = schema, self._reader_of(schema)
        return self._by_head[value[:HEAD_BYTES]]

    def read_next(self, schema: Schema, datums: io.BytesIO) -> dict[str, object]:
        """The fields of the next of several Avro datums, as `read_record` gives them.

        Raises:
            BadEventError: It cannot be read; where it ends is not known.
        """
        reader = self._reader_schema(schema)
        record = read_as_written(schema, datums, reader)
        # fastavro gives all events the same object as a default, and a map function may change it.
        return copy.deepcopy(record) if reader is not None and self._is_copying else record

    def time_of(self, record: dict[str, object]) -> int:
        """Event time of a record, ms UTC, also before the oldest that an event can have.

        Raises:
            BadEventError: It is null, or before 1970 or after 2199; the stage is `time`.
        """
        value: Any = record[self._time]
        if value is None:
            raise BadEventError("time", "time-null", f"{self._time} is null")
        time: int = value // self._per_ms
        if not EARLIEST_MS <= time < LATEST_MS:
            raise self._absurd(record)
        return time

    def check_time(self, record: dict[str, object]) -> None:
        """See that the layers would take the time of a record.

        Raises:
            BadEventError: It is null or absurd, or before the oldest that an event can have.
        """
        if self.time_of(record) < self._source.oldest_ms:
            raise self._absurd(record)

    def _absurd(self, record: dict[str, object]) -> BadEventError:
        name, earliest = self._time, self._source.oldest_ms
        value = cast("int", record[name])
        detail = f"{name} is {value}"
        for unit, per_s in _UNITS.items():
            if earliest <= value * 1000 // per_s < LATEST_MS:
                return BadEventError("time", "time-out-of-range", f"{detail}: looks like {unit}")
        if EARLIEST_MS <= value // self._per_ms < earliest:
            first = datetime.fromtimestamp(earliest // 1000, UTC)
            detail += f", before {first:%Y-%m-%d %H:%M}: see oldest of the source"
        return BadEventError("time", "time-out-of-range", detail)

    def _event(self, record: dict[str, object]) -> Event:
        source = self._source
        at: Any = record[self._time]
        # As `time_of`: a call for every event would show.
        time = -1 if at is None else at // self._per_ms
        if not source.oldest_ms <= time < LATEST_MS:
            self.time_of(record)
            raise self._absurd(record)
        identity: Any = record[source.id] if source.id else None
        mapper = source.mapper
        if mapper is None:
            return Event(time, identity, record)
        try:
            fields = mapper(record)
        except Exception as error:
            cause = f"raised {type(error).__name__}: {error}"
            remedy = "mend it and start again: nothing was committed"
            raise self._refused(time, cause, remedy) from error
        if fields is not None and not isinstance(fields, dict):
            raise self._refused(
                time,
                f"returned {type(fields).__name__}",
                "return the event's dict, or None to drop it",
            )
        return Event(time, identity, fields)

    def _refused(self, time: int, cause: str, remedy: str) -> BadEventError | MapError:
        """Why an event cannot be mapped: a bug, or a dead letter by its bytes alone."""
        source = self._source
        if source.on_map_error == "dead-letter":
            return BadEventError("map", "map-error", cause, time=time)
        return MapError(
            f"the map function of source {source.name!r} ({source.place}) {cause}; {remedy}"
        )

    def read_datum(self, schema: Schema, datum: bytes) -> dict[str, object]:
        """The fields of a datum as the archive keeps it, before any map function.

        Raises:
            BadEventError: It cannot be read; the stage is `decode`.
        """
        if self.reader is not None and schema.fingerprint == VALUE_SCHEMA.fingerprint:
            timestamp_ms, value = load_value(datum)
            return self.reader.read(value, timestamp_ms)
        read = self._readers.get(schema.fingerprint) or self._reader_of(schema)
        fields = read(datum, 0)
        return self._read_slowly(schema, datum) if fields is None else fields

    def _reader_of(self, schema: Schema) -> DatumReader:
        wanted = None if self._reader_schema(schema) is None else self._schema
        reader = self._readers[schema.fingerprint] = compile_reader(schema, wanted) or _give_up
        return reader

    def _read_slowly(self, schema: Schema, datum: bytes) -> dict[str, object]:
        data = Datums(datum) if self._reader_schema(schema) is not None else io.BytesIO(datum)
        record = self.read_next(schema, data)
        if data.tell() != len(datum):
            extra = len(datum) - data.tell()
            raise BadEventError("decode", "malformed", f"{extra} bytes too many")
        return record

    def _reader_schema(self, schema: Schema) -> dict[str, object] | None:
        """The schema to read with; None when the writer's is the source's.

        Raises:
            BadEventError: No event of the writer's schema can be read as the source's.
        """
        if schema.fingerprint == self._schema.fingerprint:
            return None
        reason = self._reasons.get(schema.fingerprint)
        if reason is None:
            reason = "; ".join(differences(schema, self._schema, in_part=True))
            self._reasons[schema.fingerprint] = reason
        if reason:
            detail = f"{schema.name} cannot be read as {self._schema.name} of {self._source.place}"
            raise BadEventError("decode", "schema-mismatch", f"{detail}: {reason}")
        return self._schema.parsed


def _give_up(data: bytes, start: int) -> None:
    """Leave all datums of a schema to fastavro."""
