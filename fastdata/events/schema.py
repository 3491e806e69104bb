"""Avro schemas, and the Confluent wire format."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.validation import ValidationError, validate

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType, field_types
from fastdata.events.logical import prepare_defaults, without_foreign_types
from fastdata.events.nesting import MAX_LEVELS, is_too_deep

__all__ = ["HEAD_BYTES", "Schema", "check_fit", "encode", "wire_id"]

HEAD_BYTES = 5
_PARSE_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    SchemaParseException,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Schema:
    """One Avro record schema.

    Attributes:
        name: Full name of the record.
        canonical: Its JSON text, with logical types, sorted keys.
        fingerprint: Hexadecimal SHA-256 of that text.
        id: The first 31 bits of the fingerprint: the id that a folder registry gives it.
        fields: Field types by name, in order.
        parsed: For fastavro: values are read in the forms of `logical.py`.
    """

    name: str
    canonical: str
    fingerprint: str
    id: int
    fields: Mapping[str, FieldType] = field(compare=False)
    parsed: dict[str, object] = field(compare=False)

    @classmethod
    def load(cls, path: Path) -> "Schema":
        """Read an `.avsc` file.

        Raises:
            DeclarationError: The file cannot be read, or its text is none that `parse` takes.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DeclarationError(f"cannot read the schema {path}: {error.strerror}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, place: str = "schema") -> "Schema":
        """Read the JSON text of a schema.

        Args:
            text: The content of an `.avsc` file.
            place: Where it is from, for the message.

        Raises:
            DeclarationError: It is no Avro record, contains itself, has a default that does not
                fit, an array of what takes no bytes, is nested too deep or holds too many values.
        """
        return _parse(text, place)


@lru_cache(maxsize=1024)
def _parse(text: str, place: str) -> Schema:
    if is_too_deep(text.encode(errors="replace")):
        raise DeclarationError(f"{place} is nested more than {MAX_LEVELS} levels deep")
    try:
        raw = json.loads(text)
        declared = fastavro.parse_schema(raw)
        if not isinstance(raw, dict) or raw.get("type") != "record":
            raise DeclarationError(f"{place} is not an Avro record; an event is a record")
        fields = field_types(cast("dict[str, object]", declared), place)
        parsed = cast("dict[str, object]", fastavro.parse_schema(without_foreign_types(raw)))
    except DeclarationError:
        raise
    except _PARSE_ERRORS as error:
        raise DeclarationError(f"{place} is not an Avro schema: {error}") from error
    prepare_defaults(parsed, place)
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode())
    return Schema(
        name=str(parsed["name"]),
        canonical=canonical,
        fingerprint=digest.hexdigest(),
        id=int.from_bytes(digest.digest()[:4], "big") >> 1,
        fields=fields,
        parsed=parsed,
    )


def wire_id(value: bytes) -> int | None:
    """Schema id of a value in the Confluent wire format; None if it is not in it.

    Its datum begins at `HEAD_BYTES`.
    """
    if len(value) < HEAD_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:HEAD_BYTES], "big")


def check_fit(schema: Schema, record: Mapping[str, object]) -> None:
    """See that a record fits a schema: `encode` cuts off the half of 1.5 for a long.

    Raises:
        ValueError: It does not.
    """
    if not validate(record, schema.parsed, raise_errors=False):
        try:  # again, ten times as slow, to know why
            validate(record, schema.parsed)
        except ValidationError as error:
            raise ValueError("; ".join(map(str, error.errors))) from error


def encode(schema: Schema, record: Mapping[str, object], schema_id: int | None = None) -> bytes:
    """One event in the Confluent wire format: a zero byte, the schema's id, the datum.

    Args:
        schema: Of the event.
        record: Field values; timestamps as integers in the schema's unit.
        schema_id: What a registry gave it when it was registered; None for the id of a folder.

    Raises:
        ValueError: The record does not fit the schema.
    """
    out = io.BytesIO()
    out.write(b"\0" + (schema.id if schema_id is None else schema_id).to_bytes(4, "big"))
    try:
        fastavro.schemaless_writer(out, schema.parsed, dict(record))
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"the record does not fit {schema.name}: {error}") from error
    return out.getvalue()
