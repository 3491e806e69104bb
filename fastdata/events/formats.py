"""Values that are no Avro: one JSON object, or one line of text, read with an Avro schema."""

import hashlib
import io
import json
import re
from decimal import Decimal
from typing import Any, Literal, Never, Protocol, cast

import fastavro
import re2

from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.conversions import Conversion, Conversions, Misfit, copied_default
from fastdata.events.nesting import MAX_LEVELS, is_too_deep
from fastdata.events.schema import Schema

__all__ = ["VALUE_SCHEMA", "Format", "ValueReader", "dump_value", "load_value", "open_reader"]

Format = Literal["avro", "json", "text"]
_LINE = "(?P<line>.*)"
_GROUP = re.compile(r"\\.|\(\?P?<(\w+)>")  # or what is escaped
VALUE_SCHEMA = Schema.parse(
    '{"type":"record","name":"fastdata.Value","fields":['
    '{"name":"timestamp_ms","type":"long"},{"name":"value","type":"bytes"}]}'
)
"""The Avro record in which the archive keeps a value that is no Avro, as it came."""


class ValueReader(Protocol):
    """Reads values of a source that are no Avro."""

    @property
    def id(self) -> int:
        """31 bits of a hash of all that reading depends on, besides value and timestamp."""

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        """The fields of a value.

        Args:
            timestamp_ms: Of the record in the log; negative when it has none.

        Raises:
            BadEventError: It cannot be read.
        """


def open_reader(name: str, schema: Schema, time: str, pattern: str | None) -> ValueReader | None:
    """The reader of values of a format; None for Avro.

    Args:
        name: Of the format: `avro`, `json` or `text`.
        schema: Of the events.
        time: The field of the event time.
        pattern: Of lines of text; None takes the whole line as the field `line`.

    Raises:
        DeclarationError: There is no such format, or the schema or the pattern do not fit it.
    """
    if pattern is not None and name != "text":
        raise DeclarationError(f"a pattern is for format='text', not for {name!r}")
    match name:
        case "avro":
            return None
        case "json":
            return _JsonReader(schema, time)
        case "text":
            return _LineReader(schema, time, _LINE if pattern is None else pattern)
    raise DeclarationError(f"there is no format {name!r}; there are: avro, json, text")


class _JsonReader:
    def __init__(self, schema: Schema, time: str) -> None:
        self.id = _id_of("json", schema.canonical, time)
        self._convert = Conversions(schema.parsed).from_json(schema.parsed)
        # A float would lose digits of a decimal.
        is_exact = '"decimal"' in schema.canonical
        self._decoder = json.JSONDecoder(
            parse_float=Decimal if is_exact else None, parse_constant=_refuse
        )

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        if not value:
            raise BadEventError("decode", "empty", "the record has no value")
        if is_too_deep(value):
            detail = f"it is nested more than {MAX_LEVELS} levels deep"
            raise BadEventError("decode", "malformed", detail)
        try:
            parsed = self._decoder.decode(value.decode())
            if b"\\u" in value:
                # Half of a surrogate pair is no text: it could not be stored.
                json.dumps(parsed, ensure_ascii=False, default=str).encode()
        except (ValueError, ArithmeticError) as error:
            detail = f"it is no JSON: {type(error).__name__}: {error}"
            raise BadEventError("decode", "malformed", detail) from error
        try:
            return cast("dict[str, object]", self._convert(parsed))
        except Misfit as misfit:
            raise BadEventError("decode", "schema-mismatch", str(misfit)) from misfit


class _LineReader:
    def __init__(self, schema: Schema, time: str, pattern: str) -> None:
        self.id = _id_of("text", schema.canonical, time, pattern)
        self._pattern = _compiled(pattern)
        groups = self._pattern.groupindex
        fields = cast("list[Any]", schema.parsed["fields"])
        declared = {field["name"]: field for field in fields}
        if unknown := groups.keys() - declared.keys():
            raise DeclarationError(
                f"the pattern has the group {min(unknown)!r}, but the schema has no such field; "
                f"it has: {', '.join(declared)}"
            )
        self._stamped = None if time in groups else time
        self._per_ms = 1000 if schema.fields[time].unit == "us" else 1
        self._fields: list[tuple[str, int, Conversion | None, bool, Any]] = []
        conversions = Conversions(schema.parsed)
        for name, field in declared.items():
            convert = self._conversion(conversions, field) if name in groups else None
            has_default = "default" in field
            if convert is None and name != self._stamped and not has_default:
                raise DeclarationError(
                    f"nothing gives the field {name!r} a value: name a group of the pattern so, "
                    "or give it a default"
                )
            group = groups.get(name, 0)
            self._fields.append((name, group, convert, has_default, field.get("default")))

    def read(self, value: bytes | None, timestamp_ms: int) -> dict[str, object]:
        if value is None:
            raise BadEventError("decode", "empty", "the record has no value")
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise BadEventError("decode", "malformed", f"it is no UTF-8: {error}") from error
        match = self._pattern.fullmatch(value.removesuffix(b"\n").removesuffix(b"\r"))
        if match is None:
            raise BadEventError("decode", "no-match", "the line does not match the pattern")
        fields: dict[str, object] = {}
        for name, group, convert, has_default, default in self._fields:
            part = match[group] if group else None
            if name == self._stamped:
                fields[name] = self._time_of(timestamp_ms)
            elif convert is None or (has_default and part is None):
                fields[name] = copied_default(default)
            else:
                try:
                    fields[name] = convert(None if part is None else part.decode(errors="replace"))
                except Misfit as misfit:
                    detail = str(misfit.inside(name))
                    raise BadEventError("decode", "schema-mismatch", detail) from misfit
        return fields

    @staticmethod
    def _conversion(conversions: Conversions, field: Any) -> Conversion:
        try:
            return conversions.from_text(field["type"])
        except DeclarationError as error:
            raise DeclarationError(f"the field {field['name']!r}: {error}") from error

    def _time_of(self, timestamp_ms: int) -> int | None:
        return timestamp_ms * self._per_ms if timestamp_ms >= 0 else None


def _compiled(pattern: str) -> Any:
    """The regular expression, which takes linear time of each line.

    Raises:
        DeclarationError: It is none of RE2, or names a group twice.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        (reason,) = error.args
        raise DeclarationError(
            f"the pattern is no regular expression of RE2: {reason.decode()}; look-around, back "
            "references and \\Z are not supported"
        ) from error
    names = [name for name in _GROUP.findall(pattern) if name]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise DeclarationError(f"the pattern names the group {doubled[0]!r} twice")
    return compiled


def dump_value(timestamp_ms: int, value: bytes) -> bytes:
    """The Avro datum in which the archive keeps a value that is no Avro.

    Args:
        timestamp_ms: Of the record in the log; negative when it has none.
        value: As it came.
    """
    out = io.BytesIO()
    record = {"timestamp_ms": timestamp_ms, "value": value}
    fastavro.schemaless_writer(out, VALUE_SCHEMA.parsed, record)
    return out.getvalue()


def load_value(datum: bytes) -> tuple[int, bytes]:
    """Timestamp and value of a datum that `dump_value` wrote, and whose digest was verified."""
    datums = io.BytesIO(datum)
    record = cast("dict[str, Any]", fastavro.schemaless_reader(datums, VALUE_SCHEMA.parsed, None))
    return record["timestamp_ms"], record["value"]


def _id_of(*parts: str) -> int:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number of JSON")
