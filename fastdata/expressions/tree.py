"""Typed expressions: what parsing makes, and what Python and SQL are made from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fastdata.events.fieldtypes import FieldType

__all__ = [
    "Call",
    "Column",
    "Element",
    "Get",
    "Literal",
    "Node",
    "array_of",
    "digits_of",
    "nodes_of",
    "or_null",
]

MAX_DIGITS = 38
MIN_INT, MAX_INT = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in the text; timestamps, dates and intervals as integers.

    Attributes:
        text: Canonical: expressions with equal text mean the same.
    """

    type: FieldType
    value: object
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the event."""

    type: FieldType
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Element:
    """Each element of an array, one after the other."""

    type: FieldType
    array: "Node"
    text: str


@dataclass(frozen=True, slots=True)
class Get:
    """A field of a record, or the value that a map has under a key.

    Attributes:
        holder: The record or map.
        name: The field, or the key.
    """

    type: FieldType
    holder: "Node"
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function by its name in `operators`; its result is of `type`."""

    type: FieldType
    operator: str
    arguments: tuple["Node", ...]
    text: str


Node = Literal | Column | Element | Get | Call


def nodes_of(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    match node:
        case Call():
            below = node.arguments
        case Get():
            below = (node.holder,)
        case Element():
            below = (node.array,)
        case _:
            below = ()
    for child in below:
        yield from nodes_of(child)


def array_of(*roots: Node) -> tuple[Node, ...]:
    """The different arrays that expressions unnest."""
    arrays = [n.array for root in roots for n in nodes_of(root) if isinstance(n, Element)]
    return tuple(dict.fromkeys(arrays))


def digits_of(bits: int) -> int:
    """How many decimal digits an integer of so many bits, its sign included, can have."""
    return len(str(1 << (bits - 1)))


def or_null(type: FieldType, is_null: bool = True) -> FieldType:
    """The type with null added, if `is_null`."""
    return replace(type, nullable=True) if is_null and not type.nullable else type
