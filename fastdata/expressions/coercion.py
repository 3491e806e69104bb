"""Types of results: which fit together, and how one becomes the other."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.expressions import runtime
from fastdata.expressions.conversions import CONVERSIONS, name_of
from fastdata.expressions.tree import MAX_DIGITS, Literal, Node, call, digits_of, or_null

__all__ = ["MismatchError", "as_decimal", "convert", "decimal_type", "describe", "together"]

INT, FLOAT = FieldType("int"), FieldType("float")
STRING, BOOL = FieldType("string"), FieldType("bool")
NULL = FieldType("other", nullable=True)
NUMBERS = ("int", "decimal", "float")
_COMPARABLE = (*NUMBERS, "string", "bool", "timestamp", "date")


class MismatchError(Exception):
    """Types that do not fit; the message says what to do."""


def is_null(node: Node) -> bool:
    """Whether it is the word NULL."""
    return isinstance(node, Literal) and node.value is None


def describe(type: FieldType) -> str:
    """The name of a type in a message."""
    if type.kind == "decimal":
        return f"decimal({type.precision},{type.scale})"
    return "null" if type == NULL else type.kind


def decimal_type(precision: int, scale: int, nullable: bool = False) -> FieldType:
    """The type of decimals with so many digits.

    Raises:
        MismatchError: There are more than 38.
    """
    if precision > MAX_DIGITS:
        raise MismatchError(
            f"the result needs {precision} digits, and a decimal has {MAX_DIGITS} at most; "
            "TRY_CAST an operand to fewer digits, or CAST it to DOUBLE"
        )
    return FieldType("decimal", nullable, scale=scale, precision=precision)


def as_decimal(type: FieldType) -> FieldType:
    """The decimal type that holds all values of an integer or decimal type.

    Raises:
        MismatchError: It has more than 38 digits.
    """
    if type.kind == "int":
        return decimal_type(digits_of(type.bits), 0, type.nullable)
    return decimal_type(type.precision, type.scale, type.nullable)


def common_type(a: FieldType, b: FieldType) -> FieldType:
    """The type that values of both become to be compared or chosen from.

    Raises:
        MismatchError: There is none.
    """
    nullable = a.nullable or b.nullable
    if NULL in (replace(a, nullable=True), replace(b, nullable=True)):
        return or_null(b if a.kind == "other" else a)
    kinds: set[Kind] = {a.kind, b.kind}
    if kinds <= set(NUMBERS):
        return or_null(_number(a, b, kinds), nullable)
    if kinds == {"timestamp", "date"} or kinds == {"timestamp"}:
        us = "us" in {t.unit for t in (a, b) if t.kind == "timestamp"}
        return FieldType("timestamp", nullable, unit="us" if us else "ms")
    if len(kinds) == 1 and a.kind in _COMPARABLE:
        return or_null(a, nullable)
    if len(kinds) == 1:
        raise MismatchError(f"{describe(a)} cannot be compared or chosen; use what is in it")
    raise MismatchError(f"{describe(a)} and {describe(b)} do not fit together; CAST one of them")


def _number(a: FieldType, b: FieldType, kinds: set[Kind]) -> FieldType:
    if "float" in kinds:
        return FLOAT
    if kinds == {"int"}:
        return replace(a, bits=max(a.bits, b.bits), nullable=False)
    return common_decimal(a, b)


def common_decimal(a: FieldType, b: FieldType, more_digits: int = 0) -> FieldType:
    """The decimal type that holds all values of both, with so many more digits.

    Raises:
        MismatchError: It has more than 38 digits.
    """
    left, right = as_decimal(a), as_decimal(b)
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return decimal_type(whole + scale + more_digits, scale)


def together(*nodes: Node) -> tuple[Node, ...]:
    """The nodes, converted to their common type.

    Raises:
        MismatchError: There is none.
    """
    others = [n.type for n in nodes if n.type.kind != "string" or not isinstance(n, Literal)]
    moments = {t.kind for t in others} & {"timestamp", "date"}
    read = [_moment(n, others) for n in nodes] if moments else list(nodes)
    type = _common_type_of(read)
    return tuple([convert(node, type) for node in read])


def _common_type_of(nodes: Sequence[Node]) -> FieldType:
    type, first = nodes[0].type, nodes[0]
    for node in nodes[1:]:
        if {type.kind, node.type.kind} & {"string"} and len({type.kind, node.type.kind}) > 1:
            _refuse_text(first, node)
        type = common_type(type, node.type)
    if type.kind == "other":
        raise MismatchError("NULL alone has no type; write CAST(NULL AS BIGINT) or the like")
    return type


def _refuse_text(a: Node, b: Node) -> None:
    if is_null(a) or is_null(b):
        return
    quoted = " or take the quotes away" if isinstance(a, Literal) or isinstance(b, Literal) else ""
    raise MismatchError(
        f"{a.text} is {describe(a.type)} and {b.text} is {describe(b.type)}; CAST one{quoted}"
    )


def _moment(node: Node, types: Sequence[FieldType]) -> Node:
    """The node; a text beside a date or time becomes one, as in `day >= '2024-01-01'`."""
    if not isinstance(node, Literal) or node.type.kind != "string":
        return node
    days = runtime.text_to_date(str(node.value))
    if days is not None:
        return Literal(FieldType("date"), days, f"DATE {node.text}")
    us = runtime.text_to_us(str(node.value))
    if us is not None and any(t.kind == "timestamp" for t in types):
        return moment(us, node.text)
    raise MismatchError(
        f"{node.text} is no date or time; write it as '2024-01-31' or '2024-01-31 23:59:59'"
    )


def moment(us: int, quoted: str) -> Literal:
    """The literal of a time, in milliseconds if that is enough.

    Args:
        us: Microseconds since 1970, UTC.
        quoted: Its text, with quotes.
    """
    text = f"TIMESTAMP {quoted}"
    if us % 1000:
        return Literal(FieldType("timestamp", unit="us"), us, text)
    return Literal(FieldType("timestamp", unit="ms"), us // 1000, text)


def convert(node: Node, type: FieldType) -> Node:
    """The node, converted to a type that can hold all of its values."""
    kind = node.type.kind
    if is_null(node):
        return Literal(or_null(type), None, node.text)
    if _name_and_digits(node.type) == _name_and_digits(type):
        return node
    type = replace(type, nullable=node.type.nullable)
    if isinstance(node, Literal) and kind in ("int", "decimal"):
        return replace(node, type=type, value=_literal(node.value, type))
    if isinstance(node, Literal) and type.kind == "timestamp":
        return replace(node, type=type, value=_time(node, type.unit))
    operator = CONVERSIONS[f"{name_of(node.type)}>{name_of(type)}"]
    return call(operator, type, (node,), node.text)


def _name_and_digits(type: FieldType) -> tuple[str, int, int]:
    return name_of(type), type.precision, type.scale


def _literal(value: object, type: FieldType) -> float | Decimal:
    number = Decimal(str(value))
    return float(number) if type.kind == "float" else number


def _time(node: Literal, unit: str) -> int:
    time = int(str(node.value)) * (runtime.DAY_MS if node.type.kind == "date" else 1)
    return time * 1000 if unit == "us" else time
