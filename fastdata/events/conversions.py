"""Values of JSON and of text to the forms that the same Avro schema gives, strictly.

A conversion is compiled once from the schema. What does not fit raises `Misfit`, which collects
the path to the value on its way up.
"""

import base64
import copy
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import Any, Never
from uuid import UUID

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import SchemaNode
from fastdata.events.logical import DECIMAL, MEANING, UUID_BYTES
from fastdata.events.timestamps import parse_day, parse_local, parse_moment

__all__ = ["Conversion", "Conversions", "Misfit", "copied_default"]

Conversion = Callable[[Any], object]
_Field = tuple[str, str, Conversion, bool, object]  # name, key in JSON, ..., has a default, default
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SCALARS = frozenset(
    {"boolean", "int", "long", "float", "double", "string", "enum", "bytes", "fixed"}
)


class Misfit(Exception):  # noqa: N818  (it becomes a BadEventError, which has its place)
    """A value does not fit its type.

    Attributes:
        message: What is wrong with it.
        path: Where it is in the event, as in `.items[3]`.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path.lstrip('.')} {self.message}" if self.path else self.message

    def inside(self, part: str) -> "Misfit":
        """The same error with the path from one level higher, at which the value is in `part`."""
        return Misfit(self.message, part + self.path)


class Conversions:
    """Compiles the types of one schema.

    Args:
        parsed: `Schema.parsed`.
    """

    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self._names: Mapping[str, SchemaNode] = parsed["__named_schemas"]

    def from_json(self, node: SchemaNode) -> Conversion:
        """The conversion of what `json.loads` gives to values of a type.

        Raises:
            DeclarationError: The type is a union of several types, or holds one.
        """
        node = self._resolved(node)
        if isinstance(node, list):
            return self._nullable(node, self.from_json)
        match node["type"]:
            case "record" | "error":
                return _record([self._field(field) for field in node["fields"]])
            case "array":
                return _array(self.from_json(node["items"]))
            case "map":
                return _map(self.from_json(node["values"]))
        return _scalar(node)

    def from_text(self, node: SchemaNode) -> Conversion:
        """The conversion of a part of a line to values of a type; None is a part that is missing.

        Raises:
            DeclarationError: The type is a record, array, map or union of several types.
        """
        node = self._resolved(node)
        if isinstance(node, list):
            return self._nullable(node, self.from_text)
        if node["type"] not in _SCALARS:
            raise DeclarationError(f"a part of a line cannot be a value of type {node['type']}")
        return _from_text(node, _scalar(node))

    def _resolved(self, node: SchemaNode) -> SchemaNode:
        if isinstance(node, str):
            return self._names.get(node, {"type": node})
        return node

    def _field(self, field: SchemaNode) -> "_Field":
        name = field["name"]
        key = field.get("json", name)
        try:
            if type(key) is not str:
                raise DeclarationError(f"json is {key!r}; it is the text of a key")
            convert = self.from_json(field["type"])
        except DeclarationError as error:
            raise DeclarationError(f"the field {name!r}: {error}") from error
        return name, key, convert, "default" in field, field.get("default")

    def _nullable(
        self, node: SchemaNode, compiled: Callable[[SchemaNode], Conversion]
    ) -> Conversion:
        rest = [branch for branch in node if branch != "null"]
        if len(rest) != 1:
            raise DeclarationError(
                "a union of several types can be read from Avro only; declare one type, or null "
                "and one type"
            )
        inner = compiled(rest[0])
        if len(rest) == len(node):
            return inner
        return lambda value: None if value is None else inner(value)


def copied_default(default: object) -> object:
    """A default as a value that a map function may change."""
    return copy.deepcopy(default) if isinstance(default, (dict, list)) else default


def _record(fields: list[_Field]) -> Conversion:
    def convert(value: Any) -> object:
        if type(value) is not dict:
            _refuse(value, "is no object")
        record = {}
        for name, key, conversion, has_default, default in fields:
            try:
                member = value[key]
            except KeyError:
                if not has_default:
                    raise Misfit("is missing, and has no default", f".{key}") from None
                record[name] = copied_default(default)
                continue
            try:
                record[name] = conversion(member)
            except Misfit as misfit:
                raise misfit.inside(f".{key}") from None
        return record

    return convert


def _array(items: Conversion) -> Conversion:
    def convert(value: Any) -> object:
        if type(value) is not list:
            _refuse(value, "is no array")
        result = []
        for index, item in enumerate(value):
            try:
                result.append(items(item))
            except Misfit as misfit:
                raise misfit.inside(f"[{index}]") from None
        return result

    return convert


def _map(values: Conversion) -> Conversion:
    def convert(value: Any) -> object:
        if type(value) is not dict:
            _refuse(value, "is no object")
        result = {}
        for key, item in value.items():
            try:
                result[key] = values(item)
            except Misfit as misfit:
                raise misfit.inside(f"[{key!r}]") from None
        return result

    return convert


def _scalar(node: SchemaNode) -> Conversion:
    kind, meaning = node["type"], node.get(MEANING)
    match kind:
        case "null":
            return lambda value: value if value is None else _refuse(value, "is not null")
        case "boolean":
            return lambda value: value if type(value) is bool else _refuse(value, "is no boolean")
        case "string":
            return lambda value: value if type(value) is str else _refuse(value, "is no text")
        case "int" | "long":
            return _int(kind, meaning, node.get("unit"))
        case "float" | "double":
            return _float if kind == "double" else _float32
        case "enum":
            return _enum(frozenset(node["symbols"]), node.get("default"))
    match node.get("logicalType"):
        case logical if logical == DECIMAL:
            return _decimal(node["precision"], node.get("scale", 0))
        case logical if logical == UUID_BYTES:
            return _uuid
    return _bytes(node.get("size"))


def _int(kind: str, meaning: str | None, written_in: str | None) -> Conversion:
    limit = 2**31 if kind == "int" else 2**63

    def convert(value: Any) -> object:
        if type(value) is not int:
            _refuse(value, "is no integer")
        if not -limit <= value < limit:
            _refuse(value, f"does not fit into {kind}")
        return value

    match meaning:
        case "timestamp-millis" | "timestamp-micros" if kind == "long":
            unit = "ms" if meaning == "timestamp-millis" else "us"
            written = _or_written(
                convert, lambda text: parse_moment(text, unit), "time in ISO 8601"
            )
            if written_in is None:
                return written
            number = _instant(written_in, unit)
            return lambda value: written(value) if type(value) is str else number(value)
        case "local-timestamp-millis" | "local-timestamp-micros" if kind == "long":
            unit = "ms" if meaning == "local-timestamp-millis" else "us"
            return _or_written(convert, lambda text: parse_local(text, unit), "local time")
        case "date" if kind == "int":
            return _or_written(convert, parse_day, "date in ISO 8601")
    return convert


def _instant(written_in: str, unit: str) -> Conversion:
    """The conversion of a number since 1970 in another unit; a part of `unit` is cut off."""
    if written_in not in _PER_SECOND:
        raise DeclarationError(f"unit is {written_in!r}; it is one of: {', '.join(_PER_SECOND)}")
    times, over = _PER_SECOND[unit], _PER_SECOND[written_in]

    def convert(value: Any) -> object:
        if type(value) not in (int, float, Decimal):
            _refuse(value, "is no number")
        # Of a float the digits count that it is written with, or 0.123 s would be 122 ms.
        if abs(value) < 2**63:
            exact = value if type(value) is int else Fraction(repr(float(value)))
            if -(2**63) <= (instant := exact * times // over) < 2**63:
                return instant
        return _refuse(value, "does not fit into long")

    return convert


def _or_written(convert: Conversion, parse: Callable[[str], int], form: str) -> Conversion:
    def convert_text(value: Any) -> object:
        if type(value) is not str:
            return convert(value)
        try:
            return convert(parse(value))
        except (ValueError, OverflowError) as error:
            return _refuse(value, f"is no {form}: {error}")

    return convert_text


def _float(value: Any) -> object:
    if type(value) is float:
        return value if abs(value) != float("inf") else _refuse(value, "does not fit into double")
    if type(value) is not int and type(value) is not Decimal:
        _refuse(value, "is no number")
    try:
        return _float(float(value))
    except OverflowError:
        return _refuse(value, "does not fit into double")


def _float32(value: Any) -> object:
    try:
        return struct.unpack("<f", struct.pack("<f", _float(value)))[0]
    except OverflowError:
        return _refuse(value, "does not fit into float")


def _enum(symbols: frozenset[str], default: object) -> Conversion:
    def convert(value: Any) -> object:
        if type(value) is str:
            if value in symbols:
                return value
            if default is not None:
                return default
        return _refuse(value, f"is none of {', '.join(sorted(symbols))}")

    return convert


def _decimal(precision: int, scale: int) -> Conversion:
    exact = Context(prec=precision, traps=[Inexact, InvalidOperation])
    unit = Decimal((0, (1,), -scale))
    problem = f"is no decimal of precision {precision} and scale {scale}"

    def convert(value: Any) -> object:
        if type(value) is str and not _NUMBER.fullmatch(value):
            _refuse(value, problem)
        if type(value) not in (str, int, Decimal):
            _refuse(value, problem)
        try:
            number = Decimal(value).quantize(unit, context=exact)
        except ArithmeticError:
            return _refuse(value, problem)
        return number if number else abs(number)

    return convert


def _uuid(value: Any) -> object:
    if type(value) is str and _UUID.fullmatch(value):
        return str(UUID(value))
    return _refuse(value, "is no uuid")


def _bytes(size: int | None) -> Conversion:
    def convert(value: Any) -> object:
        if type(value) is not str:
            _refuse(value, "is no base64 text")
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            return _refuse(value, "is no base64 text")
        return data if size in (None, len(data)) else _refuse(value, f"is not {size} bytes")

    return convert


def _from_text(node: SchemaNode, scalar: Conversion) -> Conversion:
    kind = node["type"]
    booleans = {"true": True, "false": False}

    def convert(text: Any) -> object:
        if text is None:
            raise Misfit("was not found, and cannot be null")
        match kind:
            case "int" | "long" if _INTEGER.fullmatch(text):
                return scalar(int(text))
            case "float" | "double" if _NUMBER.fullmatch(text):
                return scalar(float(text))
            case "boolean":
                return scalar(booleans.get(text, text))
        return scalar(text)

    return convert


def _refuse(value: object, problem: str) -> Never:
    shown = repr(value)
    raise Misfit(f"{problem}: {shown if len(shown) <= 100 else shown[:100] + '…'}")
