"""The one form in which values of each Avro type are delivered, whatever schema wrote them.

fastavro reads logical types by the writer's schema, and would make `datetime` and `UUID` of them.
Here timestamps, dates and times stay integers in the schema's unit, decimals are `Decimal` with
the schema's scale, and a uuid is its text. Defaults of fields that a writer does not have are in
the same form.
"""

from collections.abc import Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any
from uuid import UUID

import fastavro.read
import fastavro.write

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import SchemaNode

__all__ = [
    "DECIMAL",
    "EXACT",
    "MEANING",
    "UUID_BYTES",
    "has_shared_defaults",
    "prepare_defaults",
    "read_decimal",
    "read_uuid",
    "without_foreign_types",
]

MEANING = "fastdata.meaning"
DECIMAL, UUID_BYTES = "fastdata-decimal", "fastdata-uuid"
_UUID_SIZE = 16
EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""For decimals; the default context rounds at 28 digits."""


def without_foreign_types(node: SchemaNode) -> SchemaNode:
    """The JSON of a schema with no logical types but those that are read here.

    The logical type that a node had is beside it as `MEANING`.
    """
    if isinstance(node, list):
        return [without_foreign_types(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    rest = {
        key: value if key in ("default", "symbols") else without_foreign_types(value)
        for key, value in node.items()
        if key != "logicalType"
    }
    if "logicalType" in node:
        rest[MEANING] = node["logicalType"]
    match node.get("logicalType"), node.get("type"):
        case "decimal", "bytes" | "fixed":
            rest["logicalType"] = DECIMAL
        case "uuid", "fixed" if node.get("size") == _UUID_SIZE:
            rest["logicalType"] = UUID_BYTES
    return rest


def prepare_defaults(parsed: Mapping[str, Any], place: str) -> None:
    """Replace the JSON of all defaults of a parsed schema, in place, by the values that they mean.

    Args:
        parsed: By fastavro, from `without_foreign_types`.
        place: Where the schema is from, for the message.

    Raises:
        DeclarationError: A default does not fit its type.
    """
    names = parsed["__named_schemas"]
    meant = []
    for record in names.values():
        for field in record.get("fields", ()):
            if "default" in field:
                where = f"{place}: the default of {field['name']!r} in {record['name']}"
                value = _Defaults(names, where).value_of(field["type"], field["default"])
                meant.append((field, value))
    for field, value in meant:
        field["default"] = value


def has_shared_defaults(parsed: Mapping[str, Any]) -> bool:
    """Whether a default is a value that can be changed, and must be copied for each event."""
    fields = [
        field for node in parsed["__named_schemas"].values() for field in node.get("fields", ())
    ]
    return any(isinstance(field.get("default"), (dict, list)) for field in fields)


class _Defaults:
    """Reads one default; `where` names it in messages."""

    def __init__(self, names: Mapping[str, SchemaNode], where: str) -> None:
        self._names = names
        self._where = where

    def value_of(self, node: SchemaNode, value: Any) -> object:
        if isinstance(node, list):
            return self._union(node, value)
        if isinstance(node, str):
            return (
                self.value_of(self._names[node], value)
                if node in self._names
                else self._plain({"type": node}, value)
            )
        match node["type"]:
            case "record" | "error":
                return self._record(node, self._checked(dict, value))
            case "array":
                return [self.value_of(node["items"], item) for item in self._checked(list, value)]
            case "map":
                items = self._checked(dict, value).items()
                return {key: self.value_of(node["values"], item) for key, item in items}
        return self._plain(node, value)

    def _union(self, node: list[SchemaNode], value: object) -> object:
        # Avro 1.12 takes any branch, before it was the first one.
        for branch in node:
            try:
                return self.value_of(branch, value)
            except DeclarationError:
                continue
        raise self._misfit(value)

    def _record(self, node: SchemaNode, value: dict[str, object]) -> object:
        record = {}
        for field in node["fields"]:
            name = field["name"]
            if name in value:
                record[name] = self.value_of(field["type"], value[name])
            elif "default" in field:
                record[name] = self.value_of(field["type"], field["default"])
            else:
                raise self._misfit(value)
        return record

    def _plain(self, node: SchemaNode, value: Any) -> object:
        match node["type"]:
            case "null":
                return self._checked(type(None), value)
            case "boolean":
                return self._checked(bool, value)
            case "int" | "long":
                return self._whole(node["type"], value)
            case "float" | "double":
                return value if type(value) is float else self._float(self._checked(int, value))
            case "string":
                return self._checked(str, value)
            case "enum":
                if value in node["symbols"]:
                    return value
            case "bytes" | "fixed":
                return self._bytes(node, self._checked(str, value))
        raise self._misfit(value)

    def _whole(self, kind: str, value: Any) -> object:
        if type(value) is float and value.is_integer():
            value = int(value)
        limit = 2**31 if kind == "int" else 2**63
        if not -limit <= self._checked(int, value) < limit:
            raise self._misfit(value)
        return value

    def _float(self, value: int) -> float:
        try:
            return float(value)
        except OverflowError:
            raise self._misfit(value) from None

    def _bytes(self, node: SchemaNode, value: str) -> object:
        try:
            data = value.encode("latin-1")  # as Avro writes bytes in JSON
        except UnicodeEncodeError:
            raise self._misfit(value) from None
        if len(data) != node.get("size", len(data)):
            raise self._misfit(value)
        read = fastavro.read.LOGICAL_READERS.get(f"{node['type']}-{node.get('logicalType')}")
        try:
            return data if read is None else read(data, node, None)
        except ValueError:
            raise self._misfit(value) from None

    def _checked(self, kind: type, value: Any) -> Any:
        if type(value) is not kind:
            raise self._misfit(value)
        return value

    def _misfit(self, value: object) -> DeclarationError:
        return DeclarationError(f"{self._where} is {value!r}, which does not fit its type")


def read_decimal(data: bytes, schema: SchemaNode, _: SchemaNode = None) -> Decimal:
    """As fastavro does, but a number of too many digits is refused and not rounded.

    Raises:
        ValueError: It is refused.
    """
    unscaled, precision = int.from_bytes(data, "big", signed=True), schema["precision"]
    # A byte holds less than 2.5 digits, and a schema may say a precision of a billion.
    if len(data) * 2.5 > precision and abs(unscaled) >= 10**precision:
        raise ValueError(f"a decimal of precision {precision} holds {unscaled}")
    return EXACT.scaleb(Decimal(unscaled), -schema.get("scale", 0))


def _write_decimal(value: object, schema: SchemaNode) -> object:
    if not isinstance(value, Decimal):
        return value
    scale, precision = schema.get("scale", 0), schema["precision"]
    scaled = EXACT.scaleb(value, scale) if value.is_finite() else value
    if not value.is_finite() or scaled.adjusted() >= precision or (number := int(scaled)) != scaled:
        raise ValueError(f"{value} is no decimal of precision {precision} and scale {scale}")
    size = schema.get("size", (abs(number).bit_length() + 8) // 8)
    return number.to_bytes(size, "big", signed=True)


def read_uuid(data: bytes, _: SchemaNode, __: SchemaNode = None) -> str:
    """The text of a UUID.

    Raises:
        ValueError: These are not 16 bytes.
    """
    return str(UUID(bytes=data))


def _write_uuid(value: object, _: SchemaNode) -> object:
    return UUID(value).bytes if isinstance(value, str) else value


fastavro.read.LOGICAL_READERS |= {
    f"bytes-{DECIMAL}": read_decimal,
    f"fixed-{DECIMAL}": read_decimal,
    f"fixed-{UUID_BYTES}": read_uuid,
}
fastavro.write.LOGICAL_WRITERS |= {
    f"bytes-{DECIMAL}": _write_decimal,
    f"fixed-{DECIMAL}": _write_decimal,
    f"fixed-{UUID_BYTES}": _write_uuid,
}
