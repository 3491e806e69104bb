"""Values to send: rows as JSON, and what the layers will say of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Never

from fastdata.coordinates.instants import now_ms
from fastdata.errors import BadEventError
from fastdata.events.decoder import Decoder, EventSource
from fastdata.events.fieldtypes import SchemaNode
from fastdata.events.schema import Schema
from fastdata.files.profile import NULL_TEXTS
from fastdata.files.rows import dump_object

__all__ = ["ValueCheck", "values_of_texts"]

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


class ValueCheck:
    """Finds the key of each value, and counts those that will be dead letters.

    Args:
        source: That reads values that are no Avro; None finds nothing.

    Attributes:
        bad: How many will be dead letters.
        first: Which value was the first of them, from 1, and why.
    """

    def __init__(self, source: EventSource | None) -> None:
        self.bad = 0
        self.first = ""
        self._count = 0
        self._id = None if source is None else source.id
        self._decoder = None if source is None else Decoder(source, _NoSchemas())

    def key_of(self, value: bytes) -> bytes | None:
        """The key to send a value with, as text of its id, so that repeats meet in one partition.

        None when it has no id, cannot be read, or is Avro.
        """
        self._count += 1
        if self._decoder is None or self._decoder.reader is None:
            return None
        identity: object = None
        try:
            record = self._decoder.reader.read(value, now_ms())
            identity = record[self._id] if self._id else None
            self._decoder.check_time(record)
        except BadEventError as error:
            self.bad += 1
            detail = f" ({error.detail})" if error.detail else ""
            self.first = self.first or f"{self._count:,}: {error.reason}{detail}"
        return None if identity is None else str(identity).encode()


def values_of_texts(schema: Schema) -> Callable[[Mapping[str, str]], bytes]:
    """What makes JSON of a row of texts, as a schema reads it.

    A text that does not fit stays a text, and columns that the schema does not have stay with it.
    An empty one is the default of its field.
    """
    fields = {field.get("json", field["name"]): field for field in _fields(schema)}
    nodes = {key: field["type"] for key, field in fields.items()}
    may_lack = {key for key, f in fields.items() if "default" in f and "null" not in f["type"]}

    def convert(row: Mapping[str, str]) -> bytes:
        cells = {key: text for key, text in row.items() if text or key not in may_lack}
        return dump_object(
            {key: _typed(nodes[key], text) if key in nodes else text for key, text in cells.items()}
        )

    return convert


def _fields(schema: Schema) -> list[dict[str, Any]]:
    fields: Any = schema.parsed["fields"]
    return list(fields)


def _typed(node: SchemaNode, text: str) -> object:
    branches = node if isinstance(node, list) else [node]
    type_ = next((branch for branch in branches if branch != "null"), "null")
    kind = type_ if isinstance(type_, str) else type_["type"]
    if "null" in branches and (not text or (kind != "string" and text.lower() in NULL_TEXTS)):
        return None
    match kind:
        case "boolean":
            return {"true": True, "false": False}.get(text.lower(), text)
        case "int" | "long" if _WHOLE.fullmatch(text):
            return int(text)
        case "int" | "long" | "float" | "double" if _NUMBER.fullmatch(text):
            return float(text)
    return text


class _NoSchemas:
    """For values that are no Avro, which none is asked for."""

    def get(self, schema_id: int) -> Never:
        raise NotImplementedError(schema_id)
