"""What a condition leaves of a field: the few values that it can have where the condition holds."""

from collections.abc import Iterable, Mapping

from fastdata.expressions.conditions import OPERATORS
from fastdata.expressions.tree import Call, Column, Literal, Node

__all__ = ["choices_of"]

_KINDS = {"string": str, "int": int, "bool": bool}
_EQUAL, _IN = OPERATORS["plain ="], OPERATORS["plain in"]
_IS_NULL, _AND, _OR = OPERATORS["is null"], OPERATORS["and"], OPERATORS["or"]

_Choices = dict[str, frozenset[str | int | None]]


def choices_of(condition: Node) -> Mapping[str, frozenset[str | int | None]]:
    """By name of a field, the values of which it has one wherever a condition is true.

    A field that may have any others is not in it. There may be no value at all.

        choices_of(parsed("country in ('DE', 'FR') and n > 3"))  # {"country": {"DE", "FR"}}
    """
    match condition:
        case Call(operator=operator, arguments=(a, b)) if operator is _AND:
            left, right = choices_of(a), choices_of(b)
            both = {name: left[name] & right[name] for name in left.keys() & right.keys()}
            return {**left, **right, **both}
        case Call(operator=operator, arguments=(a, b)) if operator is _OR:
            left, right = choices_of(a), choices_of(b)
            return {name: left[name] | right[name] for name in left.keys() & right.keys()}
        case Call(operator=operator, arguments=(Literal() as a, Column() as b)) if (
            operator is _EQUAL
        ):
            return _one_of(b, (a,))
        case Call(operator=operator, arguments=(Column() as a, *others)) if (
            operator is _EQUAL or operator is _IN
        ):
            return _one_of(a, others)
        case Call(operator=operator, arguments=(Column() as a,)) if operator is _IS_NULL:
            return {a.name: frozenset([None])}
        case Column():
            return {condition.name: frozenset([True])}
    return {}


def _one_of(column: Column, others: Iterable[Node]) -> _Choices:
    """The choices of a column that is equal to one of some nodes; none if one is no such value."""
    kind = _KINDS.get(column.type.kind)
    values = [other.value if isinstance(other, Literal) else other for other in others]
    if kind is None or any(type(value) is not kind for value in values):
        return {}
    return {column.name: frozenset(values)}  # type: ignore[arg-type]
