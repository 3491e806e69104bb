"""Avro schemas for Hypothesis, with values in the forms that events have."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from hypothesis import strategies as st

__all__ = ["Typed", "types"]

_Text = st.text(st.characters(codec="utf-8"), max_size=5)
How = Literal["default", "json"]


def _same(value: Any, _: How) -> Any:
    return value


@dataclass(frozen=True)
class Typed:
    """A type of a field, and values of it.

    Attributes:
        written: A value as it is written into a schema as a default, or by a producer of JSON.
    """

    declared: Any
    values: st.SearchStrategy[Any]
    written: Callable[[Any, How], Any] = _same


def _bytes(value: bytes, how: How) -> str:
    return value.decode("latin-1") if how == "default" else b64encode(value).decode()


def _uuid(value: str, how: How) -> str:
    return _bytes(UUID(value).bytes, how) if how == "default" else value


def _ints(declared: Any, bits: int) -> Typed:
    return Typed(declared, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))


def _decimals(name: str, precision: int, scale: int, *, is_fixed: bool) -> Typed:
    unscaled = st.integers(-(10**precision) + 1, 10**precision - 1)
    size = 17
    declared: dict[str, Any] = {"logicalType": "decimal", "precision": precision, "scale": scale}
    declared |= {"type": "fixed", "name": name, "size": size} if is_fixed else {"type": "bytes"}

    def written(value: Decimal, how: How) -> str:
        sign, digits, _ = value.as_tuple()
        number = int("".join(map(str, digits))) * (-1 if sign else 1)
        return (
            str(value) if how == "json" else _bytes(number.to_bytes(size, "big", signed=True), how)
        )

    values = unscaled.map(lambda number: Decimal(f"{number}e-{scale}"))
    return Typed(declared, values, written)


def _simple(name: str) -> list[Typed]:
    symbols = ["red", "green", "blue"]
    fixed = {"type": "fixed", "name": name}
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
        Typed("float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
        Typed("double", st.floats(allow_nan=False, allow_infinity=False)),
        Typed("boolean", st.booleans()),
        Typed("string", _Text),
        Typed({"type": "string", "logicalType": "uuid"}, st.uuids().map(str)),
        Typed("bytes", st.binary(max_size=5), _bytes),
        Typed({"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols)),
        Typed({**fixed, "size": 3}, st.binary(min_size=3, max_size=3), _bytes),
        Typed({**fixed, "size": 16, "logicalType": "uuid"}, st.uuids().map(str), _uuid),
        _decimals(name, 9, 2, is_fixed=False),
        _decimals(name, 38, 10, is_fixed=True),
    ]


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
                lambda some, how: [items.written(each, how) for each in some],
            )
        case "map":
            items = draw(types(names, depth - 1))
            return Typed(
                {"type": "map", "values": items.declared},
                st.dictionaries(_Text, items.values, max_size=3),
                lambda some, how: {key: items.written(each, how) for key, each in some.items()},
            )
        case "nullable":
            inner = draw(types(names, 0))
            return Typed(
                ["null", inner.declared],
                st.none() | inner.values,
                lambda value, how: None if value is None else inner.written(value, how),
            )
        case "record":
            found = draw(_records(names, depth - 1, name))
            names["records"].append(Typed(f"lib.{name}", found.values, found.written))
            return found
        case "named" if names["records"]:
            known: list[Typed] = names["records"]
            return draw(st.sampled_from(known))
    return draw(st.sampled_from(_simple(name)))


@st.composite
def _records(draw: st.DrawFn, names: Any, depth: int, name: str) -> Typed:
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
        lambda value, how: {each: t.written(value[each], how) for each, t in fields.items()},
    )
