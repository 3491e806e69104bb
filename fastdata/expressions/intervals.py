"""What an expression certainly is of numbers that are only known to lie between two bounds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from fastdata.errors import DeclarationError
from fastdata.expressions import conditions, numbers
from fastdata.expressions.conversions import CONVERSIONS
from fastdata.expressions.parsing import NOT
from fastdata.expressions.tree import Call, Column, Get, Literal, Node, Operator

__all__ = ["Interval", "interval_of", "verdict"]

_End = Fraction | float  # of floats only the infinities


@dataclass(frozen=True, slots=True)
class Interval:
    """All finite numbers from `low` to `high`; an end that is not known is infinite."""

    low: _End
    high: _End


def verdict(condition: Node, values: Mapping[str, Interval | None]) -> bool | None:
    """Whether a condition holds for all numbers in the intervals, or for none; else None.

    The arithmetic is exact, and a field that comes twice is taken for two. None is also what
    cannot be computed: of null, and of a quotient by what may be 0.

    Args:
        values: By field, one inside of a record as in "record.field"; None is null.

    Raises:
        DeclarationError: It holds something besides numbers, + - * /, comparisons, AND, OR and NOT.
    """
    value: bool | None = _value(condition, values)
    return value


def interval_of(number: Node, values: Mapping[str, Interval | None]) -> Interval | None:
    """Between which numbers the value of an expression lies; None and `values` as of `verdict`.

    Raises:
        DeclarationError: It holds something besides numbers and + - * /.
    """
    interval: Interval | None = _value(number, values)
    return interval


def _value(node: Node, values: Mapping[str, Interval | None]) -> Any:
    match node:
        case Column() | Get():
            return values[node.text]
        case Literal() if node.type.kind in ("int", "float", "decimal") and node.value is not None:
            return _literal(node.text)
        case Call() if node.operator in _COMPUTED:
            return _COMPUTED[node.operator](*[_value(part, values) for part in node.arguments])
    raise DeclarationError(
        f"{node.text} cannot be judged by bounds; what can are measures and numbers, + - * / "
        "(of two numbers write 1.0 / 3), comparisons, AND, OR and NOT"
    )


@cache
def _literal(text: str) -> Interval:
    # Not its value: of a decimal beside a float that is the nearest float.
    number = Fraction(text)
    return Interval(number, number)


def _strict(compute: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *parts: None if None in parts else compute(*parts)


def _plus(a: Interval, b: Interval) -> Interval:
    return Interval(_sum(a.low, b.low), _sum(a.high, b.high))


def _negative(a: Interval) -> Interval:
    return Interval(-a.high, -a.low)


def _times(a: Interval, b: Interval) -> Interval:
    if a.low == a.high and b.low == b.high:  # most are, and four products take their time
        product = _product(a.low, b.low)
        return Interval(product, product)
    ends = [_product(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Interval(min(ends), max(ends))


def _over(a: Interval, b: Interval) -> Interval | None:
    if b.low <= 0 <= b.high:
        return None
    return _times(a, Interval(_inverse(b.high), _inverse(b.low)))


# An infinity beside a fraction would make a float of it, which large ones do not fit in.
def _sum(x: _End, y: _End) -> _End:
    return x if isinstance(x, float) else y if isinstance(y, float) else x + y


def _product(x: _End, y: _End) -> _End:
    if not x or not y:
        return Fraction(0)
    if isinstance(x, float) or isinstance(y, float):
        return math.inf if (x > 0) == (y > 0) else -math.inf
    return x * y


def _inverse(x: _End) -> _End:
    return Fraction(0) if isinstance(x, float) else 1 / x


def _is_more(a: Interval, b: Interval) -> bool | None:
    return True if a.low > b.high else False if a.high <= b.low else None


def _is_equal(a: Interval, b: Interval) -> bool | None:
    if a.low > b.high or b.low > a.high:
        return False
    return True if a.low == a.high == b.low == b.high else None


def _not(a: bool | None) -> bool | None:
    return None if a is None else not a


def _and(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else None if None in (a, b) else True


def _or(a: bool | None, b: bool | None) -> bool | None:
    return _not(_and(_not(a), _not(b)))


_SIGNS: Mapping[str, Callable[..., Any]] = {
    "+": _strict(_plus),
    "-": _strict(lambda a, b: _plus(a, _negative(b))),
    "*": _strict(_times),
    "neg": _strict(_negative),
    "=": _strict(_is_equal),
    "<>": _strict(lambda a, b: _not(_is_equal(a, b))),
    ">": _strict(_is_more),
    "<": _strict(lambda a, b: _is_more(b, a)),
    "<=": _strict(lambda a, b: _not(_is_more(a, b))),
    ">=": _strict(lambda a, b: _not(_is_more(b, a))),
    "and": _and,
    "or": _or,
}
_COMPUTED: Mapping[Operator, Callable[..., Any]] = {
    **{
        operator: _SIGNS[name.rpartition(" ")[2]]
        for name, operator in (*numbers.OPERATORS.items(), *conditions.OPERATORS.items())
        if name.rpartition(" ")[2] in _SIGNS
    },
    # Not of two integers, of which the language gives the whole part.
    numbers.OPERATORS["float /"]: _strict(_over),
    NOT: _not,
    **{
        CONVERSIONS[name]: lambda number: number
        for name in ("int>float", "decimal>float", "int>decimal", "decimal>decimal")
    },
}
