"""Whether events of one schema can be read with another: Avro's rules of schema resolution.

Source: the Avro specification 1.12, "Schema Resolution".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastdata.events.fieldtypes import FieldType, scalar_type
from fastdata.events.logical import MEANING
from fastdata.events.schema import Schema

__all__ = ["differences"]

_PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}
_HOLDERS = ("record", "error", "array", "map")
_JsonObject = Mapping[str, Any]


def differences(writer: Schema, reader: Schema, *, in_part: bool = False) -> list[str]:
    """Why events of `writer` cannot be read as `reader`; empty when all can.

    Args:
        writer: The schema that the events were written with.
        reader: The schema that they are to be read with.
        in_part: Allow what some events of the writer can do: a union with a branch that the
            reader does not know, or an enum with more symbols.
    """
    names = (writer.parsed["__named_schemas"], reader.parsed["__named_schemas"])
    resolution = _Resolution(names[0], names[1], any if in_part else all)  # type: ignore[arg-type]
    reasons = {
        *resolution.compare(writer.parsed, reader.parsed, ""),
        *resolution.other_meanings(writer.parsed, reader.parsed, ""),
    }
    return sorted(reasons)


@dataclass(frozen=True, slots=True)
class _Resolution:
    """Compares two schemas.

    Attributes:
        theirs: The named types of the writer.
        ours: The named types of the reader.
        enough: `all` where each of several branches or symbols must be readable, else `any`.
    """

    theirs: _JsonObject
    ours: _JsonObject
    enough: Callable[[Iterator[bool]], bool]

    def compare(self, writer: Any, reader: Any, path: str) -> Iterator[str]:
        writer, reader = self._resolved(writer, reader)
        if isinstance(writer, list):
            fits = self.enough(not list(self.compare(branch, reader, path)) for branch in writer)
        elif isinstance(reader, list):
            fits = any(not list(self.compare(writer, branch, path)) for branch in reader)
        else:
            fits = _is_read_as(writer, reader)
            if _kind(writer) == _kind(reader) and isinstance(writer, dict):
                yield from self._compare_complex(writer, reader, path)
        if not fits:
            yield f"{path}: {_shown(writer)} cannot be read as {_shown(reader)}"

    def _compare_complex(
        self, writer: _JsonObject, reader: _JsonObject, path: str
    ) -> Iterator[str]:
        kind = _kind(writer)
        if kind in ("record", "enum", "fixed"):
            names = {_short(reader["name"]), *map(_short, reader.get("aliases", ()))}
            if _short(writer["name"]) not in names:
                yield f"{path or 'the record'}: {writer['name']} is not {reader['name']}"
        match kind:
            case "record":
                yield from self._compare_fields(writer, reader, path)
            case "array":
                yield from self.compare(writer["items"], reader["items"], f"{path}[]")
            case "map":
                yield from self.compare(writer["values"], reader["values"], f"{path}{{}}")
            case "fixed" if writer.get("logicalType") != reader.get("logicalType"):
                yield f"{path}: {_logical(writer)} is not {_logical(reader)}"
            case "fixed" if writer["size"] != reader["size"]:
                yield f"{path}: {writer['size']} bytes are not {reader['size']}"
            case "enum" if "default" not in reader:
                if not self.enough(symbol in reader["symbols"] for symbol in writer["symbols"]):
                    more = [name for name in writer["symbols"] if name not in reader["symbols"]]
                    yield f"{path}: the reader does not know the symbols {', '.join(more)}"

    def _compare_fields(self, writer: _JsonObject, reader: _JsonObject, path: str) -> Iterator[str]:
        for field in reader["fields"]:
            inside = f"{path}.{field['name']}".lstrip(".")
            written = _written(writer, field)
            for member in written:
                yield from self.compare(member["type"], field["type"], inside)
            if len(written) > 1:
                names = " and ".join([member["name"] for member in written])
                yield f"{inside}: the writer has {names}, of which one alone can be meant"
            elif not written and "default" not in field:
                yield f"{inside}: the writer does not have it, and it has no default"

    def other_meanings(self, writer: Any, reader: Any, path: str) -> Iterator[str]:
        """What is read as another number: Avro ignores logical types, and with them units."""
        writer, reader = self._resolved(writer, reader)
        if isinstance(writer, list):
            for branch in writer:
                yield from self.other_meanings(branch, reader, path)
        elif isinstance(reader, list):
            fitting = (branch for branch in reader if not list(self.compare(writer, branch, path)))
            meanings = [list(self.other_meanings(writer, branch, path)) for branch in fitting]
            yield from min(meanings, key=len, default=())
        elif not _is_read_as(writer, reader):
            return
        elif _kind(writer) in _HOLDERS:
            yield from self._meanings_inside(_kind(writer), writer, reader, path)
        else:
            theirs, ours = _scalar(writer), _scalar(reader)
            if not _means_the_same(theirs, ours):
                yield f"{path}: {_meaning(theirs)} is not {_meaning(ours)}"

    def _meanings_inside(
        self, kind: str, writer: _JsonObject, reader: _JsonObject, path: str
    ) -> Iterator[str]:
        match kind:
            case "array":
                yield from self.other_meanings(writer["items"], reader["items"], f"{path}[]")
            case "map":
                yield from self.other_meanings(writer["values"], reader["values"], f"{path}{{}}")
            case _:
                for field in reader["fields"]:
                    inside = f"{path}.{field['name']}".lstrip(".")
                    for member in _written(writer, field):
                        yield from self.other_meanings(member["type"], field["type"], inside)

    def _resolved(self, writer: Any, reader: Any) -> tuple[Any, Any]:
        return self.theirs.get(_key(writer), writer), self.ours.get(_key(reader), reader)


def _key(schema: Any) -> str:
    return schema if isinstance(schema, str) else ""


def _kind(schema: Any) -> str:
    kind = schema["type"] if isinstance(schema, dict) else schema
    return kind if isinstance(kind, str) else _kind(kind)


def _is_read_as(writer: Any, reader: Any) -> bool:
    kinds = _kind(writer), _kind(reader)
    return kinds[0] == kinds[1] or kinds in _PROMOTIONS


def _logical(schema: _JsonObject) -> str:
    return str(schema.get("logicalType", "bytes")).removeprefix("fastdata-")


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _shown(schema: Any) -> str:
    if isinstance(schema, list):
        return "[" + ", ".join(map(_shown, schema)) + "]"
    return str(schema["name"]) if isinstance(schema, dict) and "name" in schema else _kind(schema)


def _written(writer: _JsonObject, field: _JsonObject) -> list[_JsonObject]:
    """The fields of the writer's record that are read as one of the reader's."""
    names = (field["name"], *field.get("aliases", ()))
    return [member for member in writer["fields"] if member["name"] in names]


def _scalar(node: Any) -> FieldType:
    node = node if isinstance(node, dict) else {"type": node}
    return scalar_type(node, node.get(MEANING))


def _means_the_same(theirs: FieldType, ours: FieldType) -> bool:
    if theirs.kind == ours.kind:
        return (theirs.unit, theirs.scale) == (ours.unit, ours.scale)
    logical = {theirs.kind, ours.kind} & {"timestamp", "date", "decimal"}
    if theirs.kind == "int" and theirs.bits == 32 and ours.kind == "timestamp":
        return False  # so many milliseconds are a month
    return not logical or ("int" in (theirs.kind, ours.kind) and theirs.unit == ours.unit)


def _meaning(field: FieldType) -> str:
    match field.kind:
        case "timestamp":
            return f"timestamp in {field.unit}"
        case "decimal":
            return f"decimal of scale {field.scale}"
        case "int" if field.unit != "ms":
            return f"time in {field.unit}" if field.unit else "time of another unit"
        case "int" if field.bits == 32:
            return "int of 32 bits"
    return field.kind
