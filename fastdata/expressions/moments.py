"""The handlers of timestamps, dates and intervals."""

from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.parsing import Handler, Parser
from fastdata.expressions.tree import Call, Literal, Node

__all__ = ["HANDLERS", "NAMED", "shifted"]

_MS = {
    "MILLISECOND": 1, "SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000,
    "WEEK": 604_800_000,
}  # fmt: skip
_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_PARTS = (
    "year", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second",
    "epoch",
)  # fmt: skip
_PART_BITS = {"year": 15, "epoch": 48}
_SMALL_BITS = 10


def shifted(parser: Parser, tree: exp.Expr, sign: str) -> Node:
    """A timestamp or date with an interval added or subtracted.

    Raises:
        RefusedError: The interval has no fixed length, or does not fit.
    """
    moment = parser.of_kind(tree.this, "timestamp", "date", taker=f"{sign} INTERVAL")
    interval = tree.expression
    count, unit = interval.this, str(interval.args.get("unit")).upper().removesuffix("S")
    number = str(count.this) if isinstance(count, exp.Literal) else ""
    if unit not in _MS or not number.removeprefix("-").isdecimal() or len(number) > 12:
        raise parser.refused(
            tree,
            "an interval is a whole number of weeks, days, hours, minutes, seconds or milliseconds,"
            " as in INTERVAL '7 days'; months and years have no fixed length",
        )
    size = int(number) * _MS[unit]
    kind = "date" if moment.type.kind == "date" else "wide"
    if kind == "date":
        if size % _MS["DAY"]:
            raise parser.refused(
                tree, "a date takes days or weeks; CAST it to TIMESTAMP for parts of a day"
            )
        size //= _MS["DAY"]
    elif moment.type.unit == "us":
        size *= 1000
    if abs(size) >= 1 << 62:
        raise parser.refused(tree, "this interval is longer than any timestamp")
    text = f"INTERVAL '{int(number)} {unit.lower()}'"
    step = Literal(FieldType("int", bits=size.bit_length() + 1), size, text)
    operator = f"{kind}.{'add' if sign == '+' else 'sub'}"
    type = replace(moment.type, nullable=True)
    return Call(type, operator, (moment, step), f"({moment.text} {sign} {text})")


def _timed(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    """The typed node of a timestamp; a date becomes its beginning."""
    node = parser.of_kind(tree, "timestamp", "date", taker=taker)
    if node.type.kind == "date":
        type = FieldType("timestamp", node.type.nullable, unit="ms")
        return Call(type, "date>ms", (node,), node.text)
    return node


def _truncated(parser: Parser, tree: exp.Expr) -> Node:
    unit = str(tree.args["unit"].this).lower()
    if unit not in _UNITS:
        raise parser.refused(tree, f"date_trunc takes one of: {', '.join(_UNITS)}")
    node = _timed(parser, tree.this, "date_trunc")
    type = replace(node.type, nullable=True)
    text = f"DATE_TRUNC('{unit}', {node.text})"
    return Call(type, f"{node.type.unit}.trunc.{unit}", (node,), text)


def _extracted(parser: Parser, tree: exp.Expr) -> Node:
    part = str(tree.this.this).lower()
    if part not in _PARTS:
        raise parser.refused(tree, f"extract takes one of: {', '.join(_PARTS)}")
    node = _timed(parser, tree.expression, "extract")
    type = FieldType("int", nullable=True, bits=_PART_BITS.get(part, _SMALL_BITS))
    text = f"EXTRACT({part} FROM {node.text})"
    return Call(type, f"{node.type.unit}.extract.{part}", (node,), text)


def _epoch_ms(parser: Parser, tree: exp.Expr) -> Node:
    node = _timed(parser, tree, "epoch_ms")
    text = f"EPOCH_MS({node.text})"
    if node.type.unit == "us":
        node = Call(replace(node.type, unit="ms"), "us>ms", (node,), node.text)
    return Call(FieldType("int", node.type.nullable), "ms>int", (node,), text)


def _to_timestamp(parser: Parser, tree: exp.Expr) -> Node:
    node = parser.of_kind(tree, "int", taker="to_timestamp_millis")
    type = FieldType("timestamp", node.type.nullable, unit="ms")
    return Call(type, "int>ms", (node,), f"TO_TIMESTAMP_MILLIS({node.text})")


NAMED: Mapping[str, Handler] = {
    "epoch_ms": _epoch_ms,
    "to_timestamp_millis": _to_timestamp,
}
HANDLERS: Mapping[type[exp.Expr], tuple[Handler, set[str]]] = {
    exp.TimestampTrunc: (_truncated, {"this", "unit"}),
    exp.DateTrunc: (_truncated, {"this", "unit"}),
    exp.Extract: (_extracted, {"this", "expression"}),
}
