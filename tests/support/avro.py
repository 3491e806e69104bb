"""Avro schemas for Hypothesis, with values in the forms that events have."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

__all__ = ["Typed", "records", "types"]

_Text = st.text(st.characters(codec="utf-8"), max_size=5)


@dataclass(frozen=True)
class Typed:
    """A type of a field, and values of it.

    Attributes:
        default: What Avro writes into a schema for a value; None when the type has no defaults.
    """

    declared: Any
    values: st.SearchStrategy[Any]
    default: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _of_bytes(value: bytes) -> str:
    return value.decode("latin-1")


def _ints(declared: Any, bits: int) -> Typed:
    return Typed(declared, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), _same)


def _decimals(name: str, precision: int, scale: int, *, is_fixed: bool) -> Typed:
    unscaled = st.integers(-(10**precision) + 1, 10**precision - 1)
    size = 17
    declared: dict[str, Any] = {"logicalType": "decimal", "precision": precision, "scale": scale}
    declared |= {"type": "fixed", "name": name, "size": size} if is_fixed else {"type": "bytes"}

    def default(value: Decimal) -> str:
        sign, digits, _ = value.as_tuple()
        number = int("".join(map(str, digits))) * (-1 if sign else 1)
        return _of_bytes(number.to_bytes(size, "big", signed=True))

    return Typed(declared, unscaled.map(lambda number: Decimal(f"{number}e-{scale}")), default)


def _simple(name: str) -> list[Typed]:
    symbols = ["red", "green", "blue"]
    return [
        _ints("int", 32),
        _ints("long", 64),
        _ints({"type": "int", "logicalType": "date"}, 32),
        _ints({"type": "int", "logicalType": "time-millis"}, 32),
        *(
            _ints({"type": "long", "logicalType": f"{local}timestamp-{unit}"}, 64)
            for local in ("", "local-")
            for unit in ("millis", "micros")
        ),
        Typed("float", st.floats(width=32, allow_nan=False, allow_infinity=False), _same),
        Typed("double", st.floats(allow_nan=False, allow_infinity=False), _same),
        Typed("boolean", st.booleans(), _same),
        Typed("string", _Text, _same),
        Typed({"type": "string", "logicalType": "uuid"}, st.uuids().map(str), _same),
        Typed("bytes", st.binary(max_size=5), _of_bytes),
        Typed(
            {"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols), _same
        ),
        Typed({"type": "fixed", "name": name, "size": 3}, st.binary(min_size=3, max_size=3),
              _of_bytes),
        Typed(
            {"type": "fixed", "name": name, "size": 16, "logicalType": "uuid"},
            st.uuids().map(str),
            lambda text: _of_bytes(UUID(text).bytes),
        ),
        _decimals(name, 9, 2, is_fixed=False),
        _decimals(name, 38, 10, is_fixed=True),
    ]  # fmt: skip


@st.composite
def types(draw: st.DrawFn, names: Any = None, depth: int = 2) -> Typed:
    """Any type that events can have."""
    names = names if names is not None else {"number": 0, "records": []}
    names["number"] += 1
    name = f"T{names['number']}"
    shapes = ["simple", "simple", "named"]
    shapes += ["array", "map", "record", "nullable"] if depth else []
    match draw(st.sampled_from(shapes)):
        case "array":
            items = draw(types(names, depth - 1))
            return Typed(
                {"type": "array", "items": items.declared},
                st.lists(items.values, max_size=3),
                lambda some: [items.default(each) for each in some],
            )
        case "map":
            items = draw(types(names, depth - 1))
            return Typed(
                {"type": "map", "values": items.declared},
                st.dictionaries(_Text, items.values, max_size=3),
                lambda some: {key: items.default(each) for key, each in some.items()},
            )
        case "nullable":
            inner = draw(types(names, 0))
            return Typed(
                ["null", inner.declared],
                st.none() | inner.values,
                lambda value: None if value is None else inner.default(value),
            )
        case "record":
            found = draw(records(names, depth - 1, name))
            names["records"].append(Typed(f"lib.{name}", found.values, found.default))
            return found
        case "named" if names["records"]:
            known: list[Typed] = names["records"]
            return draw(st.sampled_from(known))
    return draw(st.sampled_from(_simple(name)))


@st.composite
def records(draw: st.DrawFn, names: Any, depth: int, name: str) -> Typed:
    """A record type of one to three fields, in the namespace `lib`."""
    fields = {f"f{i}": draw(types(names, depth)) for i in range(draw(st.integers(1, 3)))}
    declared = {
        "type": "record",
        "name": name,
        "namespace": "lib",
        "fields": [{"name": each, "type": typed.declared} for each, typed in fields.items()],
    }
    return Typed(
        declared,
        st.fixed_dictionaries({each: typed.values for each, typed in fields.items()}),
        lambda value: {each: typed.default(value[each]) for each, typed in fields.items()},
    )
