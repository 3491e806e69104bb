"""Typed expressions: what parsing makes, and what Python and SQL are made from."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from fastdata.events.fieldtypes import FieldType

__all__ = [
    "Call", "Column", "Element", "Get", "Literal", "Node", "Nulls", "Operator", "always",
    "array_of", "call", "digits_of", "never", "nodes_of", "or_null", "quoted",
]  # fmt: skip

MAX_DIGITS = 38
Nulls = Callable[[Iterable[bool]], bool]
INT64 = (-(2**63), 2**63 - 1)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
class Operator:
    """How an operator or function is written twice. Both mean the same, to the bit.

    Inside of SQL, integers are BIGINT, floats DOUBLE, and timestamps and dates BIGINT as they are
    in Python: then one rule of arithmetic serves both engines.

    Attributes:
        python: With `{0}`, `{1}`... for its arguments, `{p}` and `{s}` for the digits of the
            result, and `{s0}` for those after the point of the first argument.
        sql: The same in SQL of DataFusion; `{all}` are all arguments, `{rest}` all but the first.
        nulls: Whether the result may be null, from whether each argument may.
        range: Where an integer result must lie; it is null outside of it.
        argument: The SQL of an argument, for `sql`.
        form: Of the Python: `strict` is an expression that is null when an argument is, `open` one
            that sees to nulls itself; what others mean says the method of `Code` with its name.
    """

    python: str
    sql: str
    nulls: Nulls = any
    range: tuple[int, int] | None = None
    argument: str = "{}"
    form: str = "strict"


def always(_nulls: Iterable[bool]) -> bool:
    """The result may be null, whatever the arguments are."""
    return True


def never(_nulls: Iterable[bool]) -> bool:
    """The result is not null, whatever the arguments are."""
    return False


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function of arguments; its result is of `type`."""

    type: FieldType
    operator: Operator
    arguments: tuple["Node", ...]
    text: str


Node = Literal | Column | Element | Get | Call


def call(operator: Operator, type: FieldType, arguments: Iterable[Node], text: str) -> Call:
    """A call, whose result may be null if the operator says so."""
    nodes = tuple(arguments)
    nullable = operator.nulls(node.type.nullable for node in nodes)
    return Call(replace(type, nullable=nullable), operator, nodes, text)


def nodes_of(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    match node:
        case Call():
            below = node.arguments
        case Get(holder=inner) | Element(array=inner):
            below = (inner,)
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


def quoted(name: str) -> str:
    """A name as it is written in an expression."""
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
