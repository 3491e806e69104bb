"""Functions and operators of timestamps, dates and intervals."""

from dataclasses import replace

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import INT
from fastdata.expressions.conversions import CONVERSIONS, PER_MS, in_years, to_int
from fastdata.expressions.numbers import OPERATORS, arithmetic
from fastdata.expressions.parsing import Function, Handlers, Parser, of_kind
from fastdata.expressions.runtime import DAY_MS, FIXED_MS
from fastdata.expressions.tree import Literal, Node, Operator, always, call

__all__ = ["FUNCTIONS", "HANDLERS"]

_MONTHS = {  # how many there are in a unit, and the SQL of the first one
    "month": (1, "CAST(extract(month FROM {t}) AS INT)"),
    "quarter": (3, "CAST(extract(quarter FROM {t}) * 3 - 2 AS INT)"),
    "year": (12, "1"),
}
_UNITS = (*FIXED_MS, *_MONTHS)
_INTERVALS_MS = {"MILLISECOND": 1, **{unit.upper(): ms for unit, ms in FIXED_MS.items()}}
_PARTS = {  # the bits of each, and its Python; SQL calls it by its name
    "year": (15, "{date}.year"),
    "quarter": (10, "({date}.month + 2) // 3"),
    "month": (10, "{date}.month"),
    "week": (10, "{date}.isocalendar().week"),
    "day": (10, "{date}.day"),
    "doy": (10, "{date}.timetuple().tm_yday"),
    "dow": (10, "{date}.isoweekday() % 7"),
    "isodow": (10, "{date}.isoweekday()"),
    "hour": (10, "{0} // (3600000 * {ms}) % 24"),
    "minute": (10, "{0} // (60000 * {ms}) % 60"),
    "second": (10, "{0} // (1000 * {ms}) % 60"),
    "epoch": (48, "{0} // (1000 * {ms})"),
}


def _days(sign: str) -> Operator:
    sql = to_int(f"{{0}} {sign} {{1}}", "INT")
    return Operator(f"{{0}} {sign} {{1}}", sql, always, (-(2**31), 2**31 - 1))


def _truncation(name: str, unit: str) -> Operator:
    if name in FIXED_MS:  # the year 1 began on a Monday
        cut = "{0} - {x} % {d}"
        return in_years(unit, cut, cut, FIXED_MS[name] * PER_MS[unit])
    months, first = _MONTHS[name]
    day = f"make_date(CAST(extract(year FROM {{t}}) AS INT), {first}, 1)"
    sql = f"CAST(arrow_cast({day}, 'Int32') AS BIGINT) * {{d}}"
    return in_years(unit, f"first_day({{date}}, {months}) * {{d}}", sql, DAY_MS * PER_MS[unit])


def _extraction(part: str, unit: str) -> Operator:
    _, python = _PARTS[part]
    if part == "epoch":
        return in_years(unit, python, "({x} / {d}) + {f}", 1000 * PER_MS[unit])
    return in_years(unit, python, f"CAST(extract({part} FROM {{t}}) AS BIGINT)")


def _sum(parser: Parser, tree: exp.Expr) -> Node:
    sign = "+" if isinstance(tree, exp.Add) else "-"
    if isinstance(tree.expression, exp.Interval):
        return _shifted(parser, tree, sign)
    if sign == "+" and isinstance(tree.this, exp.Interval):
        raise parser.refused(tree, "the interval comes second, as in at + INTERVAL '1 day'")
    return arithmetic(parser, tree)


def _shifted(parser: Parser, tree: exp.Expr, sign: str) -> Node:
    moment = parser.of_kind(tree.this, "timestamp", "date", taker=f"{sign} INTERVAL")
    interval = tree.expression
    count, unit = interval.this, str(interval.args.get("unit")).upper().removesuffix("S")
    number = str(count.this) if isinstance(count, exp.Literal) else ""
    is_whole = number.removeprefix("-").isdecimal() and len(number) <= 12
    if unit not in _INTERVALS_MS or not is_whole:
        raise parser.refused(
            tree,
            "an interval is a whole number of weeks, days, hours, minutes, seconds or milliseconds,"
            " as in INTERVAL '7 days'; months and years have no fixed length",
        )
    size, operator = int(number) * _INTERVALS_MS[unit], OPERATORS[f"wide {sign}"]
    if moment.type.kind == "date":
        if size % DAY_MS:
            raise parser.refused(
                tree, "a date takes days or weeks; CAST it to TIMESTAMP for parts of a day"
            )
        size, operator = size // DAY_MS, _days(sign)
    elif moment.type.unit == "us":
        size *= 1000
    if abs(size) >= 1 << 62:
        raise parser.refused(tree, "this interval is longer than any timestamp")
    text = f"INTERVAL '{int(number)} {unit.lower()}'"
    step = Literal(FieldType("int", bits=size.bit_length() + 1), size, text)
    return call(operator, moment.type, (moment, step), f"({moment.text} {sign} {text})")


def _timed(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    """The typed node of a timestamp; a date becomes its beginning."""
    node = parser.of_kind(tree, "timestamp", "date", taker=taker)
    if node.type.kind == "date":
        return call(CONVERSIONS["date>ms"], FieldType("timestamp"), (node,), node.text)
    return node


def _in_ms(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    node = _timed(parser, tree, taker)
    if node.type.unit == "us":
        return call(CONVERSIONS["us>ms"], replace(node.type, unit="ms"), (node,), node.text)
    return node


def _truncated(parser: Parser, tree: exp.Expr) -> Node:
    unit = str(tree.args["unit"].this).lower()
    if unit not in _UNITS:
        raise parser.refused(tree, f"date_trunc takes one of: {', '.join(_UNITS)}")
    node = _timed(parser, tree.this, "date_trunc")
    operator = _truncation(unit, node.type.unit)
    return call(operator, node.type, (node,), f"DATE_TRUNC('{unit}', {node.text})")


def _extracted(parser: Parser, tree: exp.Expr) -> Node:
    part = str(tree.this.this).lower()
    if part not in _PARTS:
        raise parser.refused(tree, f"extract takes one of: {', '.join(_PARTS)}")
    node = _timed(parser, tree.expression, "extract")
    bits, _ = _PARTS[part]
    text = f"EXTRACT({part} FROM {node.text})"
    return call(_extraction(part, node.type.unit), FieldType("int", bits=bits), (node,), text)


_SAME = Operator("{0}", "{0}")
FUNCTIONS = (  # that sqlglot does not know
    Function("epoch_ms", INT, {"expressions": _in_ms}, _SAME),
    Function("to_timestamp_millis", FieldType("timestamp"), {"expressions": of_kind("int")}, _SAME),
)
HANDLERS: Handlers = {
    **dict.fromkeys((exp.Add, exp.Sub), (_sum, {"this", "expression"})),
    exp.TimestampTrunc: (_truncated, {"this", "unit"}),
    exp.DateTrunc: (_truncated, {"this", "unit"}),
    exp.Extract: (_extracted, {"this", "expression"}),
}
