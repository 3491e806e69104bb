"""The operators that make values of one type those of another."""

from collections.abc import Mapping

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import runtime
from fastdata.expressions.tree import INT64, Operator, always

__all__ = ["CONVERSIONS", "PER_MS", "in_years", "name_of", "to_decimal", "to_int"]

PER_MS = {"ms": 1, "us": 1000}


def name_of(type: FieldType) -> str:
    """What a type is called in the names of conversions."""
    return type.unit if type.kind == "timestamp" else type.kind


def to_int(text: str, type: str = "BIGINT") -> str:
    """The SQL of a number as an integer; null where it does not fit."""
    # DataFusion takes TRY_CAST(x AS BIGINT) > 3 for x > 3, which is never null. Not with a sum.
    return f"(TRY_CAST({text} AS {type}) + 0)"


def to_decimal(word: str) -> str:
    """The SQL of a number as a decimal, by CAST or TRY_CAST."""
    # The same of decimals: it would compare before it rounds.
    zero = "CAST('0' AS DECIMAL(1,0))"
    return f"CAST({word}({{0}} AS DECIMAL({{p}},{{s}})) + {zero} AS DECIMAL({{p}},{{s}}))"


def _matching(pattern: str, cast: str) -> str:
    braced = pattern.replace("{", "{{").replace("}", "}}")
    return f"TRY_CAST(CASE WHEN regexp_like({{0}}, '{braced}') THEN {{0}} END AS {cast})"


def _times(factor: int) -> Operator:
    digits = f"DECIMAL({len(str(factor))},0)"
    sql = to_int(f"CAST({{0}} AS DECIMAL(20,0)) * CAST({factor} AS {digits})")
    return Operator(f"{{0}} * {factor}", sql, always, INT64)


def in_years(unit: str, python: str, sql: str, size: int = 1) -> Operator:
    """The operator of a time in the years 1 to 9999; its result is null for any other.

    Args:
        unit: Of the time.
        python: `{x}` is the time since year 1, which is no negative number, `{d}` the size,
            `{date}` the date of the time, and `{ms}` how many units a millisecond has.
        sql: The same; `{f}` is the beginning of year 1 in such sizes, `{t}` the time as a
            timestamp of Arrow.
        size: Of what is counted or cut to, in units of the time.
    """
    per_ms = PER_MS[unit]
    first, end = runtime.FIRST_MS * per_ms, (runtime.LAST_MS + 1) * per_ms
    inside = f"{{0}} >= {first} AND {{0}} < {end}"
    type = f"Timestamp({'Millisecond' if unit == 'ms' else 'Microsecond'}, None)"
    parts = {
        "{x}": f"({{0}} - ({first}))",
        "{d}": str(size),
        "{date}": f"fromordinal({{0}} // {runtime.DAY_MS * per_ms} + {runtime.EPOCH_DAY})",
        "{ms}": str(per_ms),
        "{f}": f"({first // size})",
        "{t}": f"arrow_cast(CASE WHEN {inside} THEN {{0}} END, '{type}')",
    }
    for part, text in parts.items():
        python, sql = python.replace(part, text), sql.replace(part, text)
    python = f"({python} if {first} <= {{0}} < {end} else None)"
    return Operator(python, f"CASE WHEN {inside} THEN {sql} END", always)


def _to_date(unit: str) -> Operator:
    return in_years(unit, "{0} // {d}", "({x} / {d}) + {f}", runtime.DAY_MS * PER_MS[unit])


_TIMESTAMP = _matching(runtime.TIMESTAMP, "TIMESTAMP(6)")
_TEXT_TO_US = f"arrow_cast(arrow_cast({_TIMESTAMP}, 'Timestamp(Microsecond, None)'), 'Int64')"
_FIRST, _LAST = runtime.FIRST_DAY, runtime.LAST_DAY

# Those that begin with `try` give null for some values; TRY_CAST alone takes them.
CONVERSIONS: Mapping[str, Operator] = {
    "int>float": Operator("float({0})", "CAST({0} AS DOUBLE)"),
    "int>decimal": Operator("Decimal({0})", "CAST({0} AS DECIMAL({p},{s}))"),
    "int>string": Operator("str({0})", "CAST({0} AS VARCHAR)"),
    "bool>int": Operator("int({0})", "CAST({0} AS BIGINT)"),
    "bool>string": Operator("('true' if {0} else 'false')", "CAST({0} AS VARCHAR)"),
    "decimal>decimal": Operator("{0}", "CAST({0} AS DECIMAL({p},{s}))"),
    "decimal>float": Operator("decimal_to_float({0}, {s0})", "CAST({0} AS DOUBLE)"),
    "decimal>string": Operator("decimal_text({0}, {s0})", "CAST({0} AS VARCHAR)"),
    "date>string": Operator(
        f"(fromordinal({{0}} + {runtime.EPOCH_DAY}).isoformat() "
        f"if {_FIRST} <= {{0}} <= {_LAST} else None)",
        f"CAST(arrow_cast(CASE WHEN {{0}} BETWEEN {_FIRST} AND {_LAST} "
        "THEN CAST({0} AS INT) END, 'Date32') AS VARCHAR)",
        always,
    ),
    "date>ms": Operator("{0} * 86400000", "({0} * 86400000)"),
    "date>us": _times(86_400_000_000),
    "ms>us": _times(1000),
    "ms>date": _to_date("ms"),
    "us>date": _to_date("us"),
    "us>ms": Operator("{0} // 1000", "({0} / 1000 - CASE WHEN {0} % 1000 < 0 THEN 1 ELSE 0 END)"),
    "try.decimal>decimal": Operator("to_decimal({0}, {p}, {s})", to_decimal("TRY_CAST"), always),
    "try.decimal>int": Operator("int({0})", to_int("{0}"), always, INT64),
    "try.float>int": Operator("float_to_int({0})", to_int("{0}"), always),
    "try.int>decimal": Operator(
        "to_decimal(Decimal({0}), {p}, {s})", to_decimal("TRY_CAST"), always
    ),
    "try.string>int": Operator("text_to_int({0})", _matching(runtime.INTEGER, "BIGINT"), always),
    "try.string>float": Operator("text_to_float({0})", _matching(runtime.FLOAT, "DOUBLE"), always),
    "try.string>decimal": Operator(
        "text_to_decimal({0}, {p}, {s})", _matching(runtime.DECIMAL, "DECIMAL({p},{s})"), always
    ),
    "try.string>bool": Operator(
        "{{'true': True, 'false': False}}.get({0})",
        "CASE {0} WHEN 'true' THEN true WHEN 'false' THEN false END",
        always,
    ),
    "try.string>date": Operator(
        "text_to_date({0})",
        f"CAST(arrow_cast({_matching(runtime.DATE, 'DATE')}, 'Int32') AS BIGINT)",
        always,
    ),
    "try.string>us": Operator("text_to_us({0})", _TEXT_TO_US, always),
    "try.string>ms": Operator(
        "text_to_ms({0})",
        f"(({_TEXT_TO_US} - ({runtime.FIRST_US})) / 1000 + ({runtime.FIRST_MS}))",
        always,
    ),
}
