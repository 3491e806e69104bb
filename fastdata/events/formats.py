"""Values that are no Avro: one JSON object, or one line of text, read with an Avro schema."""

import hashlib
import io
import json
import re
from decimal import Decimal
from typing import Any, Literal, Never, Protocol, cast

import fastavro

from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.conversions import Conversion, Misfit, Types, own
from fastdata.events.schema import Schema

__all__ = ["KEPT_SCHEMA", "Format", "ValueReader", "dump_kept", "load_kept", "open_reader"]

Format = Literal["avro", "json", "text"]
_LINE = "(?P<line>.*)"
KEPT_SCHEMA = Schema.parse(
    '{"type":"record","name":"fastdata.Value","fields":['
    '{"name":"timestamp_ms","type":"long"},{"name":"value","type":"bytes"}]}'
)
"""What the archive keeps of a record whose value is no Avro."""


class ValueReader(Protocol):
    """Reads values of a source that are no Avro."""

    @property
    def id(self) -> int:
        """31 bits of a hash of all that the outcome depends on, besides value and timestamp."""
        ...

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        """The fields of a value.

        Args:
            timestamp_ms: Of the record in the log; negative when it has none.

        Raises:
            BadEventError: It cannot be read.
        """
        ...


def open_reader(name: str, schema: Schema, time: str, pattern: str | None) -> ValueReader | None:
    """What reads values of a format; None for Avro.

    Args:
        name: Of the format.
        time: The field of the event time.
        pattern: Of lines of text.

    Raises:
        DeclarationError: There is no such format, or the schema or the pattern do not fit it.
    """
    if pattern is not None and name != "text":
        raise DeclarationError(f"a pattern is for format='text', not for {name!r}")
    match name:
        case "avro":
            return None
        case "json":
            return _Json(schema, time)
        case "text":
            return _Text(schema, time, _LINE if pattern is None else pattern)
    raise DeclarationError(f"there is no format {name!r}; there are: avro, json, text")


class _Json:
    def __init__(self, schema: Schema, time: str) -> None:
        self.id = _id_of("json", schema.canonical, time)
        self._convert = Types(schema.parsed).of_json(schema.parsed)
        # A float would lose digits of a decimal.
        is_exact = '"decimal"' in schema.canonical
        self._decoder = json.JSONDecoder(
            parse_float=Decimal if is_exact else None, parse_constant=_refuse
        )

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        if not value:
            raise BadEventError("decode", "empty", "the record has no value")
        try:
            found = self._decoder.decode(value.decode())
            if b"\\u" in value:
                # Half of a surrogate pair is no text: it could not be stored.
                json.dumps(found, ensure_ascii=False, default=str).encode()
        except (ValueError, ArithmeticError, RecursionError) as error:
            detail = f"it is no JSON: {type(error).__name__}: {error}"
            raise BadEventError("decode", "malformed", detail) from error
        try:
            return cast("dict[str, object]", self._convert(found))
        except Misfit as misfit:
            raise BadEventError("decode", "schema-mismatch", str(misfit)) from misfit


class _Text:
    def __init__(self, schema: Schema, time: str, pattern: str) -> None:
        self.id = _id_of("text", schema.canonical, time, pattern)
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise DeclarationError(f"the pattern is no regular expression: {error}") from error
        groups = self._pattern.groupindex
        declared = {each["name"]: each for each in cast("list[Any]", schema.parsed["fields"])}
        if unknown := groups.keys() - declared.keys():
            raise DeclarationError(
                f"the pattern has the group {min(unknown)!r}, but the schema has no such field; "
                f"it has: {', '.join(declared)}"
            )
        self._stamped = None if time in groups else time
        self._per_ms = 1000 if schema.fields[time].unit == "us" else 1
        self._fields: list[tuple[str, Conversion | None, bool, Any]] = []
        types = Types(schema.parsed)
        for name, each in declared.items():
            convert = self._conversion(types, each) if name in groups else None
            has_default = "default" in each
            if convert is None and name != self._stamped and not has_default:
                raise DeclarationError(
                    f"nothing gives the field {name!r} a value: name a group of the pattern so, "
                    "or give it a default"
                )
            self._fields.append((name, convert, has_default, each.get("default")))

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        if value is None:
            raise BadEventError("decode", "empty", "the record has no value")
        try:
            line = value.decode()
        except UnicodeDecodeError as error:
            raise BadEventError("decode", "malformed", f"it is no UTF-8: {error}") from error
        found = self._pattern.fullmatch(line.removesuffix("\n").removesuffix("\r"))
        if found is None:
            raise BadEventError("decode", "no-match", "the line does not match the pattern")
        fields: dict[str, object] = {}
        for name, convert, has_default, default in self._fields:
            if name == self._stamped:
                fields[name] = self._time_of(timestamp_ms)
            elif convert is None or (has_default and found[name] is None):
                fields[name] = own(default)
            else:
                try:
                    fields[name] = convert(found[name])
                except Misfit as misfit:
                    detail = str(misfit.inside(name))
                    raise BadEventError("decode", "schema-mismatch", detail) from misfit
        return fields

    @staticmethod
    def _conversion(types: Types, field: Any) -> Conversion:
        try:
            return types.of_text(field["type"])
        except DeclarationError as error:
            raise DeclarationError(f"the field {field['name']!r}: {error}") from error

    def _time_of(self, timestamp_ms: int) -> int | None:
        return timestamp_ms * self._per_ms if timestamp_ms >= 0 else None


def dump_kept(timestamp_ms: int, value: bytes) -> bytes:
    """The Avro datum of a value as the archive keeps it."""
    out = io.BytesIO()
    record = {"timestamp_ms": timestamp_ms, "value": value}
    fastavro.schemaless_writer(out, KEPT_SCHEMA.parsed, record)
    return out.getvalue()


def load_kept(datum: bytes) -> tuple[int, bytes]:
    """Timestamp and value of a datum that `dump_kept` wrote, and whose digest was verified."""
    kept = fastavro.schemaless_reader(io.BytesIO(datum), KEPT_SCHEMA.parsed, None)
    record = cast("dict[str, Any]", kept)
    return record["timestamp_ms"], record["value"]


def _id_of(*parts: str) -> int:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number of JSON")
