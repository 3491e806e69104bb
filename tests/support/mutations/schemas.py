"""Random Avro schemas of events, and later versions of a schema."""

import copy
from random import Random
from typing import Any

__all__ = ["new_schema", "newer_schema"]

Node = Any

_SCALARS: tuple[Node, ...] = (
    "boolean", "int", "long", "float", "double", "string", "bytes",
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 10},
)  # fmt: skip
_NAMED: tuple[Node, ...] = (
    {"type": "enum", "symbols": ["red", "green", "blue"]},
    {"type": "enum", "symbols": ["one"], "default": "one"},
    {"type": "fixed", "size": 3},
    {"type": "fixed", "size": 16, "logicalType": "uuid"},
    {"type": "fixed", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4},
)
_DEPTH = 3


def new_schema(rng: Random, event_format: str, name: str) -> dict[str, Node]:
    """A record with an event time `at`, mostly an `id`, and some fields more."""
    types = _Types(rng, event_format, name)
    unit = rng.choice(["millis", "millis", "micros"])
    at: Node = {"type": "long", "logicalType": f"timestamp-{unit}"}
    if rng.random() < 0.3:
        at = ["null", at]
    fields = [types.field(f"f{number}") for number in range(rng.randrange(1, 8))]
    identity = rng.choice(["string", "long", ["null", "string"]])
    chosen = [{"name": "at", "type": at}, {"name": "id", "type": identity}]
    for field in chosen[: rng.choice([1, 2, 2])]:
        fields.insert(rng.randrange(len(fields) + 1), field)
    return {"type": "record", "name": name, "fields": fields}


def newer_schema(rng: Random, schema: dict[str, Node]) -> dict[str, Node]:
    """The same event by another version: with fields more, and without some that have defaults."""
    newer = copy.deepcopy(schema)
    types = _Types(rng, "avro", f"{schema['name']}Newer")
    # What declares a type stays: others may refer to it.
    fields = [
        field
        for field in newer["fields"]
        if "default" not in field or "'name'" in str(field["type"]) or rng.random() < 0.6
    ]
    places = sorted(rng.randrange(len(fields) + 1) for _ in range(rng.randrange(1, 4)))
    for number, place in enumerate(places):  # a later one may refer to a type of the one before
        fields.insert(place + number, types.field(f"x{number}"))
    newer["fields"] = fields
    return newer


class _Types:
    """Types whose names begin with `prefix`."""

    def __init__(self, rng: Random, event_format: str, prefix: str) -> None:
        self._rng = rng
        self._format = event_format
        self._prefix = prefix
        self._names: list[str] = []

    def field(self, name: str) -> dict[str, Node]:
        field: dict[str, Node] = {"name": name, "type": self._type(_DEPTH)}
        match field["type"]:
            case ["null", *_] if self._rng.random() < 0.7:
                field["default"] = None
            case {"type": "array"}:
                field["default"] = []
            case {"type": "map"}:
                field["default"] = {}
            case "int" | "long" | "double" if self._rng.random() < 0.5:
                field["default"] = 0
        return field

    def _type(self, depth: int) -> Node:
        shapes = ["scalar"] * 4 + ["named", "nullable"]
        if depth and self._format != "text":
            shapes += ["array", "map", "record"] + ["union"] * (self._format == "avro")
        match self._rng.choice(shapes):
            case "named":
                return self._named()
            case "nullable":
                rest = self._scalar() if depth else "string"
                return self._rng.choice([["null", rest], [rest, "null"]])
            case "array":
                return {"type": "array", "items": self._type(depth - 1)}
            case "map":
                return {"type": "map", "values": self._type(depth - 1)}
            case "record":
                return self._record(depth - 1)
            case "union":
                record = self._record(0)
                return ["null", "long", "string", record, {"type": "array", "items": "int"}]
        return self._scalar()

    def _scalar(self) -> Node:
        return copy.deepcopy(self._rng.choice(_SCALARS))

    def _named(self) -> Node:
        if self._names and self._rng.random() < 0.3:
            return self._rng.choice(self._names)
        return {"name": self._name(), **copy.deepcopy(self._rng.choice(_NAMED))}

    def _record(self, depth: int) -> Node:
        name = f"{self._prefix}R{self._rng.randrange(1 << 40)}"
        count = self._rng.randrange(1, 4 if depth == _DEPTH - 1 else 3)
        fields = [{"name": f"g{n}", "type": self._type(depth)} for n in range(count)]
        return {"type": "record", "name": name, "fields": fields}

    def _name(self) -> str:
        self._names.append(f"{self._prefix}N{len(self._names)}")
        return self._names[-1]
