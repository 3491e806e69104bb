"""Each operator twice: in Python, and in SQL of DataFusion. Both must mean the same, to the bit.

Inside of SQL text, integers are BIGINT, floats DOUBLE, and timestamps and dates BIGINT as they are
in Python: then one rule of arithmetic serves both engines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import runtime
from fastdata.expressions.tree import Call, Node

__all__ = ["OPERATORS", "Operator", "call"]


@dataclass(frozen=True, slots=True)
class Operator:
    """How an operator is written in both languages.

    Attributes:
        python: With `{0}`, `{1}`... for its arguments, `{p}` and `{s}` for the digits of the
            result, and `{s0}` for those after the point of the first argument.
        sql: The same in SQL.
        range: Where an integer result must lie; it is null outside of it.
        nulls: Whether the result may be null though no argument is.
        strict: Whether the result is null when an argument is; else the code sees to it.
    """

    python: str
    sql: str
    range: tuple[int, int] | None = None
    nulls: bool = False
    strict: bool = True


_INT64 = (-(2**63), 2**63 - 1)
_INT32 = (-(2**31), 2**31 - 1)
_MIN = "CAST('-9223372036854775808' AS BIGINT)"
_NAN = "CAST('NaN' AS DOUBLE)"
# One zero and one NaN: Arrow orders floats by their bits.
_PLAIN = "nanvl({0} + 0.0, " + _NAN + ")"
_PLAIN_1 = _PLAIN.replace("{0}", "{1}")


def _to_int(text: str, type: str = "BIGINT") -> str:
    # DataFusion takes TRY_CAST(x AS BIGINT) > 3 for x > 3, which is never null. Not with a sum.
    return f"(TRY_CAST({text} AS {type}) + 0)"


def _to_decimal(text: str, word: str) -> str:
    # The same of decimals: it would compare before it rounds.
    zero = "CAST('0' AS DECIMAL(1,0))"
    return f"CAST({word}({text} AS DECIMAL({{p}},{{s}})) + {zero} AS DECIMAL({{p}},{{s}}))"


def _wide(sign: str) -> Operator:
    sql = _to_int(f"CAST({{0}} AS DECIMAL(20,0)) {sign} CAST({{1}} AS DECIMAL(20,0))")
    return Operator(f"{{0}} {sign} {{1}}", sql, range=_INT64, nulls=True)


def _date(sign: str) -> Operator:
    sql = _to_int(f"{{0}} {sign} {{1}}", "INT")
    return Operator(f"{{0}} {sign} {{1}}", sql, range=_INT32, nulls=True)


def _comparisons() -> dict[str, Operator]:
    operators = {}
    for name, sign in {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
        python = {"=": "==", "<>": "!="}.get(sign, sign)
        operators[f"plain.{name}"] = Operator(f"{{0}} {python} {{1}}", f"({{0}} {sign} {{1}})")
        operators[f"float.{name}"] = Operator(_FLOATS[name], f"({_PLAIN} {sign} {_PLAIN_1})")
    return operators


_FLOATS = {
    "eq": "({0} == {1} or ({0} != {0} and {1} != {1}))",
    "ne": "not ({0} == {1} or ({0} != {0} and {1} != {1}))",
    "lt": "({0} < {1} or ({1} != {1} and {0} == {0}))",
    "le": "({0} <= {1} or {1} != {1})",
    "gt": "({0} > {1} or ({0} != {0} and {1} == {1}))",
    "ge": "({0} >= {1} or {0} != {0})",
}


def _times() -> dict[str, Operator]:
    operators = {}
    for unit, per_ms in (("ms", 1), ("us", 1000)):
        day = runtime.DAY_MS * per_ms
        operators[f"{unit}>date"] = _moment(
            f"to_date({{0}}, {day})", per_ms, "({x} / {d}) + {f}", day
        )
        for name, ms in runtime.FIXED_MS.items():
            size = ms * per_ms
            operators[f"{unit}.trunc.{name}"] = _moment(
                f"truncate('{name}', {{0}}, {per_ms})", per_ms, "{{0}} - {x} % {d}", size
            )
        for name, month in _FIRST_MONTHS.items():
            sql = f"make_date(CAST(extract(year FROM {{t}}) AS INT), {month}, 1)"
            operators[f"{unit}.trunc.{name}"] = _moment(
                f"truncate('{name}', {{0}}, {per_ms})",
                per_ms,
                f"CAST(arrow_cast({sql}, 'Int32') AS BIGINT) * {day}",
            )
        for part in _PARTS:
            operators[f"{unit}.extract.{part}"] = _moment(
                f"extract('{part}', {{0}}, {per_ms})",
                per_ms,
                f"CAST(extract({part} FROM {{t}}) AS BIGINT)",
            )
        operators[f"{unit}.extract.epoch"] = _moment(
            f"extract('epoch', {{0}}, {per_ms})", per_ms, "({x} / {d}) + {f}", 1000 * per_ms
        )
    return operators


def _moment(python: str, per_ms: int, sql: str, size: int = 1) -> Operator:
    """The operator of a time in the years 1 to 9999; its result is null for any other.

    Args:
        python: As in `Operator`.
        per_ms: Units of the time in a millisecond.
        sql: `{x}` is the time since year 1, which is no negative number, `{d}` the size, `{f}`
            the beginning of year 1 in such sizes, `{t}` the time as a timestamp of Arrow.
        size: Of what is counted or cut to, in units of the time.
    """
    first, end = runtime.FIRST_MS * per_ms, (runtime.LAST_MS + 1) * per_ms
    inside = f"{{0}} >= {first} AND {{0}} < {end}"
    unit = "Millisecond" if per_ms == 1 else "Microsecond"
    moment = f"arrow_cast(CASE WHEN {inside} THEN {{0}} END, 'Timestamp({unit}, None)')"
    text = sql.replace("{{0}}", "{0}").replace("{x}", f"({{0}} - ({first}))")
    text = (
        text.replace("{t}", moment).replace("{d}", str(size)).replace("{f}", f"({first // size})")
    )
    return Operator(python, f"CASE WHEN {inside} THEN {text} END", nulls=True)


_FIRST_MONTHS = {
    "month": "CAST(extract(month FROM {t}) AS INT)",
    "quarter": "CAST(extract(quarter FROM {t}) * 3 - 2 AS INT)",
    "year": "1",
}
_PARTS = (
    "year", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second",
)  # fmt: skip


def _matching(pattern: str, cast: str) -> str:
    braced = pattern.replace("{", "{{").replace("}", "}}")
    return f"TRY_CAST(CASE WHEN regexp_like({{0}}, '{braced}') THEN {{0}} END AS {cast})"


_TEXT_TO_US = (
    f"arrow_cast({_matching(runtime.TIMESTAMP, 'TIMESTAMP(6)')}, 'Timestamp(Microsecond, None)')"
)
_DATE_TEXT = (
    f"CAST(arrow_cast(CASE WHEN {{0}} BETWEEN {runtime.FIRST_DAY} AND {runtime.LAST_DAY} "
    "THEN CAST({0} AS INT) END, 'Date32') AS VARCHAR)"
)

_CASTS = {
    "int>float": Operator("float({0})", "CAST({0} AS DOUBLE)"),
    "int>decimal": Operator("Decimal({0})", "CAST({0} AS DECIMAL({p},{s}))"),
    "int>string": Operator("str({0})", "CAST({0} AS VARCHAR)"),
    "bool>int": Operator("int({0})", "CAST({0} AS BIGINT)"),
    "bool>string": Operator("('true' if {0} else 'false')", "CAST({0} AS VARCHAR)"),
    "decimal>decimal": Operator("{0}", "CAST({0} AS DECIMAL({p},{s}))"),
    "decimal>float": Operator("decimal_to_float({0}, {s0})", "CAST({0} AS DOUBLE)"),
    "decimal>string": Operator("decimal_text({0}, {s0})", "CAST({0} AS VARCHAR)"),
    "date>string": Operator("date_text({0})", _DATE_TEXT, nulls=True),
    "date>ms": Operator("{0} * 86400000", "({0} * 86400000)"),
    "date>us": Operator(
        "{0} * 86400000000",
        _to_int("CAST({0} AS DECIMAL(20,0)) * CAST(86400000000 AS DECIMAL(11,0))"),
        range=_INT64,
        nulls=True,
    ),
    "ms>us": Operator(
        "{0} * 1000",
        _to_int("CAST({0} AS DECIMAL(20,0)) * CAST(1000 AS DECIMAL(4,0))"),
        range=_INT64,
        nulls=True,
    ),
    "us>ms": Operator("{0} // 1000", "({0} / 1000 - CASE WHEN {0} % 1000 < 0 THEN 1 ELSE 0 END)"),
    "int>ms": Operator("{0}", "{0}"),
    "ms>int": Operator("{0}", "{0}"),
    "try.decimal>decimal": Operator(
        "to_decimal({0}, {p}, {s})", _to_decimal("{0}", "TRY_CAST"), nulls=True
    ),
    "try.decimal>int": Operator("decimal_to_int({0})", _to_int("{0}"), nulls=True),
    "try.float>int": Operator("float_to_int({0})", _to_int("{0}"), nulls=True),
    "try.int>decimal": Operator(
        "to_decimal(Decimal({0}), {p}, {s})", _to_decimal("{0}", "TRY_CAST"), nulls=True
    ),
    "try.string>int": Operator(
        "text_to_int({0})", _matching(runtime.INTEGER, "BIGINT"), nulls=True
    ),
    "try.string>float": Operator(
        "text_to_float({0})", _matching(runtime.FLOAT, "DOUBLE"), nulls=True
    ),
    "try.string>decimal": Operator(
        "text_to_decimal({0}, {p}, {s})",
        _matching(runtime.DECIMAL, "DECIMAL({p},{s})"),
        nulls=True,
    ),
    "try.string>bool": Operator(
        "text_to_bool({0})",
        "CASE {0} WHEN 'true' THEN true WHEN 'false' THEN false END",
        nulls=True,
    ),
    "try.string>date": Operator(
        "text_to_date({0})",
        f"CAST(arrow_cast({_matching(runtime.DATE, 'DATE')}, 'Int32') AS BIGINT)",
        nulls=True,
    ),
    "try.string>us": Operator("text_to_us({0})", f"arrow_cast({_TEXT_TO_US}, 'Int64')", nulls=True),
    "try.string>ms": Operator(
        "text_to_ms({0})",
        f"((arrow_cast({_TEXT_TO_US}, 'Int64') - ({runtime.FIRST_US})) / 1000 + "
        f"({runtime.FIRST_MS}))",
        nulls=True,
    ),
}

_NUMBERS = {
    "int.add": Operator("{0} + {1}", "({0} + {1})"),
    "int.sub": Operator("{0} - {1}", "({0} - {1})"),
    "int.mul": Operator("{0} * {1}", "({0} * {1})"),
    "int.neg": Operator("-{0}", "(-{0})"),
    "int.div": Operator("divide({0}, {1})", "({0} / NULLIF({1}, 0))", nulls=True),
    "int.mod": Operator("remainder({0}, {1})", "({0} % NULLIF({1}, 0))", nulls=True),
    "int.abs": Operator("abs({0})", "abs({0})"),
    "wide.add": _wide("+"),
    "wide.sub": _wide("-"),
    "wide.mul": _wide("*"),
    "wide.neg": Operator("-{0}", f"(-NULLIF({{0}}, {_MIN}))", range=_INT64, nulls=True),
    "wide.abs": Operator("abs({0})", f"abs(NULLIF({{0}}, {_MIN}))", range=_INT64, nulls=True),
    # The smallest integer by -1 is an error of the processor.
    "wide.div": Operator(
        "divide({0}, {1})",
        f"CASE WHEN {{1}} = -1 THEN -NULLIF({{0}}, {_MIN}) "
        "ELSE {0} / NULLIF(NULLIF({1}, 0), -1) END",
        nulls=True,
    ),
    "wide.mod": Operator(
        "remainder({0}, {1})",
        "CASE WHEN {1} = -1 AND {0} IS NOT NULL THEN 0 ELSE {0} % NULLIF(NULLIF({1}, 0), -1) END",
        nulls=True,
    ),
    "date.add": _date("+"),
    "date.sub": _date("-"),
    "float.add": Operator("{0} + {1}", "({0} + {1})"),
    "float.sub": Operator("{0} - {1}", "({0} - {1})"),
    "float.mul": Operator("{0} * {1}", "({0} * {1})"),
    "float.div": Operator(
        "({0} / {1} if {1} else None)", "({0} / NULLIF({1} + 0.0, 0.0))", nulls=True
    ),
    "float.neg": Operator("-{0}", "(-{0})"),
    "float.abs": Operator("abs({0})", "abs({0})"),
    "float.round": Operator("round_float({0})", "round({0})"),
    "float.floor": Operator("floor_float({0})", "floor({0})"),
    "float.ceil": Operator("ceil_float({0})", "ceil({0})"),
    "decimal.add": Operator("add({0}, {1})", "CAST({0} + {1} AS DECIMAL({p},{s}))"),
    "decimal.sub": Operator("subtract({0}, {1})", "CAST({0} - {1} AS DECIMAL({p},{s}))"),
    "decimal.mul": Operator("multiply({0}, {1})", "CAST({0} * {1} AS DECIMAL({p},{s}))"),
    "decimal.neg": Operator("minus({0})", "(-{0})"),
    "decimal.abs": Operator("magnitude({0})", "abs({0})"),
    "decimal.round": Operator("round_decimal({0}, {s})", _to_decimal("{0}", "CAST")),
    "decimal.floor": Operator(
        "floor_decimal({0})", "CAST(floor(CAST({0} AS DECIMAL({p},{s0}))) AS DECIMAL({p},{s}))"
    ),
    "decimal.ceil": Operator(
        "ceil_decimal({0})", "CAST(ceil(CAST({0} AS DECIMAL({p},{s0}))) AS DECIMAL({p},{s}))"
    ),
}


def _clamped(index: int, least: int) -> str:
    # LEAST and GREATEST would lose a null.
    x, most = f"{{{index}}}", 2**31
    return f"CASE WHEN {x} < {least} THEN {least} WHEN {x} > {most} THEN {most} ELSE {x} END"


_TEXTS = {
    "lower": Operator("lower({0})", "lower({0})"),
    "upper": Operator("upper({0})", "upper({0})"),
    "trim": Operator("{0}.strip(' ')", "btrim({0}, ' ')"),
    "ltrim": Operator("{0}.lstrip(' ')", "ltrim({0}, ' ')"),
    "rtrim": Operator("{0}.rstrip(' ')", "rtrim({0}, ' ')"),
    "length": Operator("len({0})", "CAST(character_length({0}) AS BIGINT)"),
    "substring": Operator("substring({0}, {1})", f"substr({{0}}, {_clamped(1, -(2**31))})"),
    "substring.length": Operator(
        "substring({0}, {1}, {2})",
        f"substr({{0}}, {_clamped(1, -(2**31))}, {_clamped(2, 0)})",
    ),
    "pipe": Operator("{0} + {1}", "({0} || {1})"),
    "replace": Operator("{0}.replace({1}, {2})", "replace({0}, {1}, {2})"),
    "split_part": Operator("split_part({0}, {1}, {2})", "split_part({0}, {1}, {2})"),
    "starts_with": Operator("{0}.startswith({1})", "starts_with({0}, {1})"),
    "strpos": Operator("{0}.find({1}) + 1", "CAST(strpos({0}, {1}) AS BIGINT)"),
    "like": Operator("{1}({0}) is not None", "({0} LIKE {1})"),
    "ilike": Operator("{1}(lower({0})) is not None", "(lower({0}) LIKE {1})"),
}

_REST = {
    "not": Operator("not {0}", "(NOT {0})"),
    "cardinality": Operator("len({0})", "CAST(cardinality({0}) AS BIGINT)"),
    "array_contains": Operator(
        "{1} in {0}",
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE array_has({0}, {1}) END",
    ),
    "is_null": Operator("({0} is None)", "({0} IS NULL)", strict=False),
    "plain.same": Operator("({0} == {1})", "({0} IS NOT DISTINCT FROM {1})", strict=False),
    "float.same": Operator(
        "same_float({0}, {1})", f"({_PLAIN} IS NOT DISTINCT FROM {_PLAIN_1})", strict=False
    ),
    "plain.nullif": Operator(
        "(None if {0} == {1} else {0})", "NULLIF({0}, {1})", nulls=True, strict=False
    ),
    "float.nullif": Operator(
        "(None if same_float({0}, {1}) else {0})",
        f"NULLIF({_PLAIN}, {_PLAIN_1})",
        nulls=True,
        strict=False,
    ),
}

OPERATORS: Mapping[str, Operator] = {
    **_NUMBERS, **_comparisons(), **_CASTS, **_times(), **_TEXTS, **_REST
}  # fmt: skip


def call(operator: str, type: FieldType, arguments: tuple[Node, ...], text: str) -> Call:
    """A call whose result is null when an argument is, or when the operator says so."""
    nullable = OPERATORS[operator].nulls or any(a.type.nullable for a in arguments)
    return Call(replace(type, nullable=nullable), operator, arguments, text)
