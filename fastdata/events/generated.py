"""Avro datums to fields, by Python that is written for each schema of a writer.

fastavro walks the schemas again for each datum. Here they are walked once, and become one flat
function. It reads datums as nearly all are and gives up on all others: on what nobody can read,
and on what is rare. Those are for fastavro, which tells what is wrong with them. So what a
function returns is what fastavro would return: the same values, types and order.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from fastdata.events import fragments
from fastdata.events.fieldtypes import SchemaNode
from fastdata.events.functions import make_function
from fastdata.events.logical import DECIMAL, MEANING, UUID_BYTES
from fastdata.events.schema import Schema

__all__ = ["DatumReader", "compile_reader"]

DatumReader = Callable[[bytes, int], dict[str, object] | None]
"""From bytes, and where in them the datum begins that ends with them, to its fields.

None if it gives up."""

_MAX_LINES, _MAX_LEVELS = 20_000, 8  # Python nests no more than 20 loops
_CONSTANTS = (type(None), bool, int, float, str, bytes, Decimal)
_NAMED = ("record", "enum", "fixed")
_KINDS = (*_NAMED, "array", "map", *fragments.READ)  # all others are references
_HEAD = ["def read(data, i):", "    try:"]
_TAIL = [
    "        if i == len(data):",
    "            return fields",
    "    except gives_up:",
    "        pass",
    "    return None",
]


class _UnfitError(Exception):
    """It is left to fastavro."""


@lru_cache(maxsize=256)
def compile_reader(writer: Schema, reader: Schema | None = None) -> DatumReader | None:
    """The function that reads datums of a writer.

    Args:
        writer: The schema that they are written with.
        reader: The schema whose fields are returned, if it is another.

    Returns:
        None if it is left to fastavro: schemas of very many or deeply nested values, and what is
        not simple of schemas that differ.
    """
    code = _DatumLines(writer)
    try:
        code.read("fields", writer.parsed, None if reader is None else reader.parsed)
    except (_UnfitError, LookupError, TypeError):  # or it is odd, which is found event by event
        return None
    names = {**fragments.NAMES, **code.constants}
    source = "\n".join([*_HEAD, *code.lines, *_TAIL])
    # Nothing of a schema is in it but integers, and names as Python writes texts.
    return cast("DatumReader", make_function(source, names, f"schema {writer.name}"))


class _DatumLines:
    """Lines that read a datum of a writer's schema.

    Attributes:
        lines: So far.
        constants: What they use, by name.
    """

    def __init__(self, writer: Schema) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, object] = {}
        self._named = cast("Mapping[str, SchemaNode]", writer.parsed["__named_schemas"])
        self._indent = 2
        self._level = self._variables = 0

    def read(self, variable: str, node: SchemaNode, wanted: SchemaNode | None) -> None:
        """Add lines that set a variable to the next value.

        Args:
            variable: Its name.
            node: The type that it is written with.
            wanted: The type that it is read as; None for the same.

        Raises:
            _UnfitError: That is left to fastavro.
        """
        if isinstance(node, list):
            self._union(node, lambda branch: self.read(variable, branch, wanted))
            return
        if wanted is None:
            node = self._resolved(node)
        else:
            node, wanted = _object(node), _branch_of(wanted, node)
            _check(node, wanted)
        match node["type"]:
            case "record":
                self._record(variable, node, wanted)
            case "array":
                self._add(f"{variable} = []")
                with self._items(fragments.ITEMS):
                    item = self._value(node["items"], wanted and wanted["items"])
                    self._add(f"{variable}.append({item})")
            case "map":
                self._add(f"{variable} = dict()")
                with self._items(fragments.ITEMS):
                    key = self._value("string", None)
                    value = self._value(node["values"], wanted and wanted["values"])
                    self._add(f"{variable}[{key}] = {value}")
            case _:
                self._scalar(variable, node, wanted)

    def _value(self, node: SchemaNode, wanted: SchemaNode | None) -> str:
        self._variables += 1
        variable = f"v{self._variables}"
        self.read(variable, node, wanted)
        return variable

    def _scalar(self, variable: str, node: SchemaNode, wanted: SchemaNode | None) -> None:
        kind, logical = node["type"], node.get("logicalType")
        if logical == DECIMAL:
            self._decimal(variable, node)
        elif logical == UUID_BYTES:
            self._add(fragments.UUID, v=variable, size=_integer(node["size"]))
        elif kind == "enum":
            symbols = self._constant(_symbols(node, wanted))
            self._add(fragments.ENUM, v=variable, symbols=symbols)
        elif kind in fragments.READ:
            lines = fragments.READ[kind]
            if kind == "long":
                lines = fragments.TIMES.get(str(node.get(MEANING)), lines)
            self._add(lines, v=variable, size=_integer(node.get("size", 0)))
            if wanted is not None and kind != wanted["type"]:
                self._add(fragments.PROMOTIONS[kind, wanted["type"]], v=variable)
        else:
            raise _UnfitError

    def _decimal(self, variable: str, node: SchemaNode) -> None:
        if node["type"] == "fixed":
            self._add(fragments.FIXED, size=_integer(node["size"]))
        else:
            self._add(fragments.SIZE)
        self._add(
            fragments.DECIMAL,
            v=variable,
            safe=_integer(node["precision"]) * 2 // 5,  # a byte holds less than 2.5 digits
            exponent=-_integer(node.get("scale", 0)),
            node=self._constant(node),
        )

    def _record(self, variable: str, node: SchemaNode, wanted: SchemaNode | None) -> None:
        with self._nested():
            if wanted is None:
                members = node["fields"]
                fields = [(member["name"], self._value(member["type"], None)) for member in members]
            else:
                fields = self._resolved_fields(node, wanted)
        pairs = [f"{name!r}: {value}" for name, value in fields]
        self._add(f"{variable} = {{{', '.join(pairs)}}}")

    def _resolved_fields(self, node: SchemaNode, wanted: SchemaNode) -> list[tuple[str, str]]:
        """Names of the fields that are wanted, with Python of their values, in fastavro's order."""
        left = {field["name"]: field for field in wanted["fields"]}
        aliases = {alias: field for field in left.values() for alias in field.get("aliases", ())}
        fields = []
        for member in node["fields"]:
            field = left.get(member["name"], aliases.get(member["name"]))
            if field is None:
                self._skip(member["type"])
            elif left.pop(field["name"], None) is None:
                raise _UnfitError
            else:
                fields.append((field["name"], self._value(member["type"], field["type"])))
        return [*fields, *[(name, self._default(field)) for name, field in left.items()]]

    def _default(self, field: SchemaNode) -> str:
        if "default" not in field:
            raise _UnfitError
        default = field["default"]
        # A map function may change it, so each event has its own. A record that is nested may be
        # so in several places, which share one.
        if default in ([], {}) and self._level == 1:
            return repr(default)
        if not isinstance(default, _CONSTANTS):
            raise _UnfitError
        return self._constant(default)

    def _skip(self, node: SchemaNode) -> None:
        node = self._resolved(node)
        if isinstance(node, list):
            self._union(node, self._skip)
            return
        match node["type"]:
            case "record":
                with self._nested():
                    for member in node["fields"]:
                        self._skip(member["type"])
            case "array":
                with self._items(fragments.SKIPPED_ITEMS):
                    self._skip(node["items"])
            case "map":
                with self._items(fragments.SKIPPED_ITEMS):
                    self._skip("string")
                    self._skip(node["values"])
            case kind:
                self._add(fragments.SKIP[kind], size=_integer(node.get("size", 0)))

    def _union(self, union: list[SchemaNode], add: Callable[[SchemaNode], None]) -> None:
        self._add(fragments.BRANCH)
        for index, branch in enumerate(union[: fragments.MAX_BRANCHES]):
            self._add(f"if n == {2 * index}:" if index == 0 else f"elif n == {2 * index}:")
            with self._block(1):
                start = len(self.lines)
                try:
                    add(branch)
                except _UnfitError:
                    self.lines[start:] = []
                    self._add("return None")
        self._add("else:\n    return None")

    @contextmanager
    def _items(self, fragment: str) -> Iterator[None]:
        self._add(fragment)
        with self._nested(), self._block(2):
            yield

    @contextmanager
    def _nested(self) -> Iterator[None]:
        if self._level == _MAX_LEVELS:
            raise _UnfitError
        self._level += 1
        try:
            yield
        finally:
            self._level -= 1

    @contextmanager
    def _block(self, indent: int) -> Iterator[None]:
        self._indent += indent
        try:
            yield
        finally:
            self._indent -= indent

    def _add(self, fragment: str, **names: object) -> None:
        text = fragment.format(**names) if names else fragment
        self.lines += ["    " * self._indent + line for line in text.strip("\n").split("\n")]
        if len(self.lines) > _MAX_LINES:
            raise _UnfitError

    def _constant(self, value: object) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def _resolved(self, node: SchemaNode) -> SchemaNode:
        if isinstance(node, str) and node in self._named:
            return self._named[node]
        return node if isinstance(node, list) else _object(node)


def _object(node: SchemaNode) -> dict[str, Any]:
    """A type that is no union, as an object; references stay, as ones to an unknown type."""
    return node if isinstance(node, dict) else {"type": node}


def _branch_of(wanted: SchemaNode, node: SchemaNode) -> dict[str, Any]:
    """What a value of a type that is no union is read as."""
    if not isinstance(wanted, list):
        return _object(wanted)
    kind = _object(node)["type"]
    branches = [_object(branch) for branch in wanted]
    fitting = [branch for branch in branches if _may_be_read_as(kind, branch["type"])]
    if len(fitting) != 1:
        raise _UnfitError
    return fitting[0]


def _may_be_read_as(kind: str, wanted: str) -> bool:
    if kind in _NAMED:
        return wanted in _NAMED or wanted not in _KINDS
    return kind == wanted or (kind, wanted) in fragments.PROMOTIONS


def _check(node: dict[str, Any], wanted: dict[str, Any]) -> None:
    """That a type is read as another by rules of which fastavro makes no exceptions."""
    kinds = node["type"], wanted["type"]
    if kinds[0] != kinds[1] and kinds not in fragments.PROMOTIONS:
        raise _UnfitError
    if any(node.get(key) != wanted.get(key) for key in ("logicalType", "size")):
        raise _UnfitError
    if "name" in node:
        short = node["name"].rpartition(".")[2]
        names = (wanted["name"].rpartition(".")[2], *wanted.get("aliases", ()))
        if short not in names and node["name"] not in names:
            raise _UnfitError


def _symbols(node: dict[str, Any], wanted: dict[str, Any] | None) -> tuple[Any, ...]:
    if wanted is None:
        return tuple(node["symbols"])
    default = wanted.get("default") or None
    symbols = [name if name in wanted["symbols"] else default for name in node["symbols"]]
    if None in symbols:
        raise _UnfitError
    return tuple(symbols)


def _integer(value: object) -> int:
    """A number of a schema, which may hold anything."""
    if type(value) is not int or value < 0:
        raise _UnfitError
    return value
