"""CAST and TRY_CAST: the conversions that both engines do alike."""

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import runtime
from fastdata.expressions.coercion import decimal_type, describe, moment
from fastdata.expressions.conversions import CONVERSIONS, name_of
from fastdata.expressions.parsing import Parser
from fastdata.expressions.tree import Literal, Node, call, digits_of, or_null

__all__ = ["cast"]

_T = exp.DType
_KINDS = {
    _T.INT: "BIGINT", _T.BIGINT: "BIGINT", _T.DOUBLE: "DOUBLE", _T.FLOAT: "DOUBLE",
    _T.VARCHAR: "VARCHAR", _T.TEXT: "VARCHAR", _T.BOOLEAN: "BOOLEAN", _T.DATE: "DATE",
    _T.TIMESTAMP: "TIMESTAMP", _T.TIMESTAMPTZ: "TIMESTAMP", _T.DECIMAL: "DECIMAL",
}  # fmt: skip
_TARGETS = (
    "BIGINT, DOUBLE, DECIMAL(p,s), VARCHAR, BOOLEAN, DATE, TIMESTAMP (microseconds), TIMESTAMP(3)"
)
_TYPES = {
    "BIGINT": FieldType("int"), "DOUBLE": FieldType("float"), "VARCHAR": FieldType("string"),
    "BOOLEAN": FieldType("bool"), "DATE": FieldType("date"),
    "TIMESTAMP": FieldType("timestamp", unit="us"),
    "TIMESTAMP(3)": FieldType("timestamp", unit="ms"),
}  # fmt: skip


def cast(parser: Parser, tree: exp.Expr) -> Node:
    """The node of a CAST or TRY_CAST; CAST takes only what cannot fail.

    Raises:
        RefusedError: There is no such type, or no such cast between these.
    """
    type, name = _target(parser, tree)
    is_text = isinstance(tree.this, exp.Literal) and tree.this.is_string
    if is_text and type.kind in _MOMENTS and not isinstance(tree, exp.TryCast):
        return _moment(parser, tree.this, type)
    node = parser.typed(tree.this)
    if isinstance(node, Literal) and node.value is None:
        return Literal(or_null(type), None, f"CAST(NULL AS {name})")
    word = "TRY_CAST" if isinstance(tree, exp.TryCast) else "CAST"
    conversion = _conversion(node.type, type)
    text = f"{word}({node.text} AS {name})"
    if conversion is None:
        raise parser.refused(
            tree, f"{describe(node.type)} cannot be cast to {name} with one meaning everywhere"
        )
    if conversion.startswith("try.") and word == "CAST":
        raise parser.refused(
            tree, f"not every {describe(node.type)} is a {name}; use TRY_CAST: null where it is not"
        )
    return call(CONVERSIONS[conversion], type, (node,), text) if conversion else node


_MOMENTS = ("timestamp", "date")


def _target(parser: Parser, tree: exp.Expr) -> tuple[FieldType, str]:
    to = tree.args["to"]
    kind = _KINDS.get(to.this)
    sizes = [int(p.this.this) for p in to.expressions if str(p.this.this).isdecimal()]
    if kind == "DECIMAL" and 1 <= len(sizes) <= 2:
        precision, scale = sizes[0], sizes[1] if len(sizes) > 1 else 0
        if 1 <= precision and scale <= precision:
            return decimal_type(precision, scale), f"DECIMAL({precision},{scale})"
    elif kind == "TIMESTAMP" and sizes in ([], [3], [6]):
        name = "TIMESTAMP(3)" if sizes == [3] else "TIMESTAMP"
        return _TYPES[name], name
    elif kind is not None and kind != "DECIMAL" and not to.expressions:
        return _TYPES[kind], kind
    raise parser.refused(tree, f"not supported is a cast to {to.sql()}; to: {_TARGETS}")


def _moment(parser: Parser, tree: exp.Expr, type: FieldType) -> Node:
    literal = parser.literal(tree)
    if type.kind == "date":
        days = runtime.text_to_date(str(literal.value))
        if days is not None:
            return Literal(type, days, f"DATE {literal.text}")
        raise parser.refused(tree, "this is no date; write it as in DATE '2024-01-31'")
    text = str(literal.value)
    us = runtime.text_to_us(text if len(text) > 10 else f"{text} 00:00:00")
    if us is not None:
        return moment(us, literal.text)
    raise parser.refused(
        tree, "this is no time in UTC; write it as in TIMESTAMP '2024-01-31 23:59:59.5'"
    )


def _conversion(source: FieldType, target: FieldType) -> str | None:
    """The name of the conversion; empty where there is nothing to convert, None without one."""
    kinds = source.kind, target.kind
    digits = target.precision - target.scale
    if kinds == ("decimal", "decimal"):
        fits = source.scale <= target.scale and source.precision - source.scale <= digits
        return "decimal>decimal" if fits else "try.decimal>decimal"
    if kinds == ("int", "decimal"):
        return "int>decimal" if digits_of(source.bits) <= digits else "try.int>decimal"
    if name_of(source) == name_of(target):
        return ""
    name = f"{name_of(source)}>{name_of(target)}"
    return next((n for n in (name, f"try.{name}") if n in CONVERSIONS), None)
