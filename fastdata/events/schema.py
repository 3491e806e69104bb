"""Avro schemas, the Confluent wire format and where schemas come from."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

import fastavro
from fastavro.schema import SchemaParseException

from fastdata.errors import DeclarationError, SettingsError, UnknownSchemaError
from fastdata.events.fieldtypes import FieldType, Kind, field_types
from fastdata.events.logical import prepare_defaults, without_foreign_types
from fastdata.settings import mask_url

__all__ = [
    "FieldType",
    "FolderRegistry",
    "Kind",
    "Registry",
    "Schema",
    "Schemas",
    "encode",
    "open_registry",
    "split_wire",
]

_HEAD_BYTES = 5
_PARSE_ERRORS = (
    AttributeError,
    LookupError,
    RecursionError,
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
    fields: Mapping[str, FieldType]
    parsed: dict[str, object]

    @classmethod
    def load(cls, path: Path) -> "Schema":
        """Read an `.avsc` file.

        Raises:
            DeclarationError: It cannot be read, or as for `parse`.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DeclarationError(f"cannot read the schema {path}: {error.strerror}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, place: str = "schema") -> "Schema":
        """Read the JSON text of a schema; `place` is for the message.

        Raises:
            DeclarationError: It is no Avro record, contains itself, has a default that does not
                fit, or an array of what takes no bytes.
        """
        return _parse(text, place)


@lru_cache(maxsize=1024)
def _parse(text: str, place: str) -> Schema:
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


class Schemas(Protocol):
    """Finds schemas by the id on the wire."""

    def get(self, schema_id: int) -> Schema:
        """The schema of that id, as far as it is known; never blocks.

        Raises:
            SchemaNeededError: It is not known yet: call `learn` until it is.
            UnknownSchemaError: There is none.
            DeclarationError: It is none that events can have.
        """
        ...


class Registry(Schemas, Protocol):
    """Fetches them, too. One event loop only."""

    async def learn(self, schema_id: int) -> None:
        """Ask once for a schema; `get` tells what came of it. Returns after a pause when nothing.

        What is wrong is logged; nothing is raised, for the next try may succeed.
        """
        ...

    async def check(self) -> None:
        """Ask whether it is there and lets us in. One that does not answer is only logged.

        Raises:
            SettingsError: It refuses, is not who it should be, or is no registry.
        """
        ...


class FolderRegistry:
    """Every `.avsc` file of a folder, by the id that its text gives. Read once.

    Raises:
        SettingsError: There is no such folder.
        DeclarationError: A file in it is no Avro record.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(
                f"there is no folder of schemas at {folder}; set FASTDATA_REGISTRY to one"
            )
        self._folder = folder
        self._schemas = {s.id: s for s in map(Schema.load, sorted(folder.glob("*.avsc")))}

    def get(self, schema_id: int) -> Schema:
        """The schema of that id.

        Raises:
            UnknownSchemaError: No file of the folder has it.
        """
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise UnknownSchemaError(
                f"no schema of {self._folder} has the id {schema_id}; it has {len(self._schemas)}"
            ) from None

    @property
    def schemas(self) -> list[Schema]:
        """All of them, by the names of their files."""
        return list(self._schemas.values())

    async def learn(self, schema_id: int) -> None:
        """Nothing is to be asked for: all was read at the beginning."""

    async def check(self) -> None:
        """The folder was there at the beginning."""


def open_registry(location: str, ca: str = "") -> Registry:
    """The registry of `FASTDATA_REGISTRY`: a folder of `.avsc` files, or a URL.

    Args:
        location: A folder, or `http(s)://[user:password@]host[:port]/path` of a registry that
            speaks Confluent's protocol.
        ca: File of the authority that signed its certificate; the usual ones when empty.

    Raises:
        SettingsError: It is no such URL, or no folder.
        DeclarationError: A file in the folder is no Avro record.
    """
    if location.startswith(("http://", "https://")):
        from fastdata.events.url_registry import UrlRegistry

        return UrlRegistry(location, ca)
    if "://" in location and not location.startswith("file://"):
        raise SettingsError(
            f"FASTDATA_REGISTRY is {mask_url(location)!r}; give a folder of .avsc files, or "
            "http(s)://[user:password@]host[:port]/path of a schema registry"
        )
    return FolderRegistry(Path(location.removeprefix("file://")))


def split_wire(value: bytes) -> tuple[int, bytes] | None:
    """Schema id and datum of a value in the Confluent wire format; None if it is not in it."""
    if len(value) < _HEAD_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:_HEAD_BYTES], "big"), value[_HEAD_BYTES:]


def encode(schema: Schema, record: Mapping[str, object], schema_id: int | None = None) -> bytes:
    """One event in the Confluent wire format: a zero byte, the schema's id, the datum.

    Args:
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
