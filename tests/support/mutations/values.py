"""Random values of Avro's types, with those at which code breaks, and what is meant by a type."""

import struct
from random import Random
from typing import Any

__all__ = [
    "FIRST_AND_LAST",
    "START",
    "Moments",
    "Names",
    "Writer",
    "double",
    "integer",
    "named_in",
    "resolved",
    "text",
]

Node = Any
Names = dict[str, Node]

START = 1_709_204_400_000  # 2024-02-29T11:00:00Z
_HOUR = 3_600_000
FIRST_AND_LAST = (31_536_000_000, 7_258_118_399_999)
"""Of so many hours a replay looks only at those of days with events."""
_ODD_MOMENTS = (
    -1, 0, 1, 31_535_999_999, 31_536_000_000, 1_709_204_400, 1_709_204_400_000_000,
    7_258_118_399_999, 7_258_118_400_000, 253_402_300_800_000, 2**63 - 1, -(2**63),
)  # fmt: skip
_ODD_WHOLE = (0, 1, -1, 2, 7, 63, 64, -64, -65, 127, 128, 8191, 8192, 2**31 - 1, -(2**31))
_ODD_LONG = (2**31, 2**32, -(2**32) - 1, 2**53 + 1, 2**62, 2**63 - 1, -(2**63))
_ODD_DOUBLES = (
    0.0, -0.0, 1.5, 0.1, 1e300, -1e300, 5e-324, 1.7976931348623157e308, 3.5e38,
    float("nan"), float("inf"), float("-inf"), 9007199254740993.0,
)  # fmt: skip
_ODD_TEXTS = (
    "", "a", "b", "c", "DE", "FR", "é", "\0", "\U0001f600", "\u2028", "\ufeff", '"', "\\", "'", "%",
    " ", "\n", "a\tb", "null", "NaN", "1e999", "z" * 40, "e\u0301", "\u0130", "\ufffd", "\x7f\x80",
    "0" * 5_000,
)  # fmt: skip


def named_in(schema: Node) -> Names:
    """The named types of a schema by the name that others call them by."""
    names: Names = {}

    def look(node: Node) -> None:
        if isinstance(node, list):
            for branch in node:
                look(branch)
        elif isinstance(node, dict):
            if "name" in node and "type" in node and node["type"] in ("record", "enum", "fixed"):
                names[node["name"]] = node
            for key in ("type", "items", "values"):
                look(node.get(key))
            for field in node.get("fields", ()):
                look(field["type"])

    look(schema)
    return names


def resolved(node: Node, names: Names) -> Node:
    """A type as a list, for a union, or an object."""
    while isinstance(node, dict) and isinstance(node["type"], (dict, list)):
        node = node["type"]
    if isinstance(node, str):
        return names.get(node, {"type": node})
    return node


class Moments:
    """Event times, ms UTC: the first and the last that there are, then mostly of three hours."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._first = list(FIRST_AND_LAST)

    def next(self) -> int:
        """Another one."""
        if self._first:
            return self._first.pop(0)
        if self._rng.random() < 0.02:
            return self._rng.choice(_ODD_MOMENTS)
        return START + self._rng.randrange(3 * _HOUR)


def integer(rng: Random, bits: int) -> int:
    """An integer that fits."""
    shape = rng.random()
    if shape < 0.6:
        return rng.randrange(-9, 100)
    odd = _ODD_WHOLE if bits == 32 or shape < 0.8 else _ODD_LONG
    return rng.choice(odd)


def double(rng: Random) -> float:
    """Any double, mostly a plain one."""
    shape = rng.random()
    if shape < 0.6:
        return rng.randrange(-1000, 1000) / 8
    if shape < 0.95:
        return rng.choice(_ODD_DOUBLES)
    return float(struct.unpack("<d", rng.randbytes(8))[0])


def text(rng: Random) -> str:
    """Any text without surrogates."""
    shape = rng.random()
    if shape < 0.6:
        return rng.choice("abcdefgh") * rng.randrange(1, 4)
    return rng.choice(_ODD_TEXTS)


class Writer:
    """Writes events of a schema.

    Args:
        schema: As JSON.
        time: The name of the field with the event time, which is the next of `moments`.

    Attributes:
        faults: How likely each value is written as the format does not allow it.
    """

    def __init__(self, rng: Random, schema: dict[str, Any], time: str, moments: Moments) -> None:
        self._rng = rng
        self._schema = schema
        self._names: Names = named_in(schema)
        self._time = time
        self._moments = moments
        self.faults = 0.0

    def _is_wrong(self) -> bool:
        return self._rng.random() < self.faults
