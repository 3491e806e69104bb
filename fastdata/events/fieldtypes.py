"""What fields hold: the types of a schema, with names resolved and logical types understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from fastdata.errors import DeclarationError
from fastdata.events.nesting import MAX_LEVELS

__all__ = ["MAX_VALUES", "FieldType", "Kind", "SchemaNode", "field_types", "scalar_type"]

Kind = Literal[
    "int", "float", "decimal", "string", "bytes", "bool", "timestamp", "date",
    "record", "array", "map", "other",
]  # fmt: skip
SchemaNode = Any  # a part of the JSON of a schema: text, a list or an object
_UUID_BYTES = 16
MAX_VALUES = 10_000
"""Of one event, with those of records in it, where each array and map has one element."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field of an event holds.

    Attributes:
        kind: `other` is a union of several types, or nothing but null.
        nullable: Whether it may be null.
        scale: Digits after the point of a decimal.
        unit: `ms` or `us` of a timestamp, and of an integer that is used as one; empty for an
            integer that counts something else, as a time of day does.
        precision: Digits of a decimal; 0 of everything else.
        bits: Of an integer, its sign included: 32 or 64.
        fields: Names and types of a record's fields.
        items: What an array, or a map by text, holds.
    """

    kind: Kind
    nullable: bool = False
    scale: int = 0
    unit: str = "ms"
    precision: int = 0
    bits: int = 64
    fields: tuple[tuple[str, "FieldType"], ...] = ()
    items: "FieldType | None" = None


_PLAIN: Mapping[str, FieldType] = {
    "int": FieldType("int", bits=32),
    "long": FieldType("int"),
    "float": FieldType("float"),
    "double": FieldType("float"),
    "string": FieldType("string"),
    "enum": FieldType("string"),
    "bytes": FieldType("bytes"),
    "fixed": FieldType("bytes"),
    "boolean": FieldType("bool"),
    "null": FieldType("other", nullable=True),
}
# A logical type on any other type is none: so says Avro. A local timestamp names no moment.
_LOGICAL: Mapping[tuple[str, str], FieldType] = {
    ("long", "timestamp-millis"): FieldType("timestamp", unit="ms"),
    ("long", "timestamp-micros"): FieldType("timestamp", unit="us"),
    ("long", "timestamp-nanos"): FieldType("int", unit=""),
    ("long", "local-timestamp-micros"): FieldType("int", unit="us"),
    ("long", "local-timestamp-nanos"): FieldType("int", unit=""),
    ("long", "time-micros"): FieldType("int", unit=""),
    ("int", "time-millis"): FieldType("int", bits=32, unit=""),
    ("int", "date"): FieldType("date"),
    ("fixed", "uuid"): FieldType("string"),
}


def scalar_type(node: SchemaNode, logical: str | None) -> FieldType:
    """The type of what is neither record, array, map nor union.

    Args:
        node: Its JSON object, with names resolved.
        logical: Its logical type, as it was declared.
    """
    kind = node["type"]
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return FieldType("decimal", scale=node.get("scale", 0), precision=node["precision"])
    if logical == "uuid" and kind == "fixed" and node["size"] != _UUID_BYTES:
        return _PLAIN[kind]
    return _LOGICAL.get((kind, logical or ""), _PLAIN[kind])


def field_types(parsed: Mapping[str, Any], place: str) -> dict[str, FieldType]:
    """The types of a record's fields, by name.

    Args:
        parsed: The schema of the record as fastavro parsed it, with its logical types.
        place: Where the schema is from, for the message.

    Raises:
        DeclarationError: A record contains itself, an array holds what takes no bytes, types
            are nested too deep, or an event holds too many values.
    """
    names = cast("Mapping[str, SchemaNode]", parsed["__named_schemas"])
    if (count := _values(parsed, {})) > MAX_VALUES:
        # Of a record that has twice what has twice what has ... a few bytes take hours.
        raise DeclarationError(
            f"{place}: an event holds {count:,} values, with those of records in it; that are more "
            f"than {MAX_VALUES:,}"
        )
    reader = _TypeReader(names, place, above=(str(parsed["name"]),))
    fields = {member["name"]: reader.type_of(member["type"]) for member in parsed["fields"]}
    if _levels(parsed, {}) > MAX_LEVELS:
        raise DeclarationError(f"{place}: types are nested more than {MAX_LEVELS} levels deep")
    return fields


def _levels(node: SchemaNode, levels: dict[str, int]) -> int:
    """How deep the values of a type are nested.

    Args:
        node: A type that does not contain itself.
        levels: Those of the named types that come before it; others are added.
    """
    if isinstance(node, str):
        return levels.get(node, 0)
    if isinstance(node, list):
        return max([_levels(branch, levels) for branch in node], default=0)
    match node["type"]:
        case "record" | "error":
            inner = [_levels(member["type"], levels) for member in node["fields"]]
            levels[node["name"]] = 1 + max(inner, default=0)
            return levels[node["name"]]
        case "array":
            return 1 + _levels(node["items"], levels)
        case "map":
            return 1 + _levels(node["values"], levels)
    return 0


def _values(node: SchemaNode, counts: dict[str, int]) -> int:
    """How many values a value of a type holds, where each array and map has one element.

    Args:
        node: A type; where it contains itself, that counts as one.
        counts: Those of the named types that come before it; others are added.
    """
    if isinstance(node, str):
        return counts.get(node, 1)
    if isinstance(node, list):
        return sum([_values(branch, counts) for branch in node])
    match node["type"]:
        case "record" | "error":
            count = sum([_values(member["type"], counts) for member in node["fields"]])
            counts[node["name"]] = max(1, count)
            return counts[node["name"]]
        case "array":
            return _values(node["items"], counts)
        case "map":
            return _values(node["values"], counts)
    return 1


@dataclass(slots=True)
class _TypeReader:
    """Reads the types of one schema.

    Attributes:
        names: All named types of the schema.
        place: Where the schema is from, for messages.
        above: The names of the records that are being read, from the outermost on.
        records: The types of the records that have been read.
    """

    names: Mapping[str, SchemaNode]
    place: str
    above: tuple[str, ...]
    records: dict[str, FieldType] = field(default_factory=dict)

    def type_of(self, node: SchemaNode) -> FieldType:
        if isinstance(node, list):
            rest = [branch for branch in node if branch != "null"]
            nullable = len(rest) != len(node)
            branches = [self.type_of(branch) for branch in rest]
            if len(branches) != 1:
                return FieldType("other", nullable=nullable)
            return replace(branches[0], nullable=nullable)
        if isinstance(node, str):
            return _PLAIN[node] if node in _PLAIN else self._named(node, self.names[node])
        return self._complex(node)

    def _complex(self, node: SchemaNode) -> FieldType:
        kind = node["type"]
        match kind:
            case "record" | "error":
                return self._named(str(node["name"]), node)
            case "array":
                if self._is_empty(node["items"]):
                    # It fills memory from a few bytes.
                    self._fail("an array of nulls, or of what takes no bytes, is not supported")
                return FieldType("array", items=self.type_of(node["items"]))
            case "map":
                return FieldType("map", items=self.type_of(node["values"]))
        return scalar_type(node, node.get("logicalType"))

    def _named(self, name: str, node: SchemaNode) -> FieldType:
        if node["type"] not in ("record", "error"):
            return self._complex(node)
        if name in self.above:
            # Such records crash the decoder's stack.
            self._fail(f"the record {name} contains itself; that is not supported")
        if name not in self.records:
            self.above = (*self.above, name)
            fields = tuple(
                (member["name"], self.type_of(member["type"])) for member in node["fields"]
            )
            self.above = self.above[:-1]
            self.records[name] = FieldType("record", fields=fields)
        return self.records[name]

    def _is_empty(self, node: SchemaNode) -> bool:
        """Whether values of the type take no bytes."""
        if isinstance(node, str):
            return node == "null" or (node not in _PLAIN and self._is_empty(self.names[node]))
        if isinstance(node, list):
            return False
        match node["type"]:
            case "fixed":
                return bool(node["size"] == 0)
            case "record" | "error":
                self._named(str(node["name"]), node)
                return all(self._is_empty(member["type"]) for member in node["fields"])
        return bool(node["type"] == "null")

    def _fail(self, message: str) -> None:
        raise DeclarationError(f"{self.place}: {message}")
