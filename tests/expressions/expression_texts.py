"""Random typed expressions, and random events for them to be about."""

import math
from collections.abc import Callable
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fastdata.events.fieldtypes import FieldType

INT, FLOAT, TEXT = FieldType("int"), FieldType("float"), FieldType("string")
ITEM = FieldType("record", fields=(("n", FieldType("int", nullable=True)), ("name", TEXT)))
FIELDS = {
    "i": FieldType("int", nullable=True),
    "j": INT,
    "small": FieldType("int", bits=32),
    "tiny": FieldType("int", nullable=True, bits=32),
    "x": FieldType("float", nullable=True),
    "y": FLOAT,
    "price": FieldType("decimal", precision=9, scale=3),
    "rate": FieldType("decimal", nullable=True, precision=6, scale=1),
    "s": FieldType("string", nullable=True),
    "t": TEXT,
    "Kind": FieldType("string", nullable=True),
    "ok": FieldType("bool", nullable=True),
    "sure": FieldType("bool"),
    "at": FieldType("timestamp", unit="ms"),
    "seen": FieldType("timestamp", nullable=True, unit="us"),
    "day": FieldType("date", nullable=True),
    "user": FieldType(
        "record", nullable=True, fields=(("id", TEXT), ("age", FieldType("int", True, bits=32)))
    ),
    "labels": FieldType("map", nullable=True, items=FieldType("string", nullable=True)),
    "tags": FieldType("array", nullable=True, items=TEXT),
    "items": FieldType("array", items=ITEM),
}
LEAVES = {
    "int": ["i", "j", "small", "tiny", "user.age", "cardinality(tags)", "length(t)"],
    "float": ["x", "y"],
    "decimal": ["price", "rate"],
    "string": ["s", "t", '"Kind"', "user.id", "labels['a']", "labels['b''c']"],
    "bool": ["ok", "sure", "user is null", "array_contains(tags, s)"],
    "timestamp": ["at", "seen"],
    "date": ["day"],
}
SCALARS = ("int", "float", "decimal", "string", "timestamp", "date")
UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
PARTS = (*UNITS, "doy", "dow", "isodow", "epoch")
PIECES = ["", " ", "a", "b", "A", "ab", "0", "é", "ß", "Σ", "ς", "İ", "ǅ", "ﬁ", "日", "😀",
          "%", "_", "\\", "/", "'", "\n", "\t", "\ua7cb", "\U00010d50", "ƛ",
          "\u0301", "\xa0"]  # fmt: skip

INTS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-(2**63), 2**63 - 1, -(2**63) + 1, 2**31, -(2**31), 2**53 + 1, 10**18]),
    st.integers(-(2**63), 2**63 - 1),
)
INTS_32 = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-(2**31), 2**31 - 1]),
    st.integers(-(2**31), 2**31 - 1),
)
FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, math.inf, -math.inf, math.nan,
                     -math.nan, 5e-324, 1.7976931348623157e308, 2.0**63, -(2.0**63), 2.0**52 + 0.5,
                     9007199254740993.0, 0.1, 0.49999999999999994]),
    st.floats(width=64),
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.sampled_from(["12", "-7", "+3", " 5", "9223372036854775808", "1.50", "1e5", "nan", "inf",
                     "true", "false", "2024-02-29", "2023-02-29", "0000-01-01", "0001-01-01",
                     "9999-12-31", "2024-01-31 23:59:59", "2024-01-31T23:59:59.123456Z",
                     "2024-13-01 00:00:00", "1.25", "-0.5", "1_0", "\uff11\uff12", "a/b/c"]),
    st.text(max_size=4).filter(lambda text: "\0" not in text),
)  # fmt: skip
TIMES_MS = st.one_of(
    st.integers(0, 4_102_444_800_000),
    st.sampled_from([-(2**63), 2**63 - 1, -1, 0, -62_135_596_800_000, -62_135_596_800_001,
                     253_402_300_799_999, 253_402_300_800_000, 951_782_400_000]),
    st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip
TIMES_US = st.one_of(TIMES_MS, st.integers(0, 4_102_444_800_000_000))
DAYS = st.one_of(
    st.integers(-1000, 30_000),
    st.sampled_from([-(2**31), 2**31 - 1, -719_162, -719_163, 2_932_896, 2_932_897, 0, -1]),
)


def _maybe(values: SearchStrategy[object]) -> SearchStrategy[object]:
    return st.one_of(st.none(), values)


def _decimals(precision: int, scale: int) -> SearchStrategy[Decimal]:
    most = 10**precision - 1
    units = st.one_of(st.integers(-most, most), st.sampled_from([0, 1, -1, 5, -5, 15, most, -most]))
    return units.map(lambda number: Decimal(number).scaleb(-scale))


EVENTS = st.fixed_dictionaries(
    {
        "i": _maybe(INTS),
        "j": INTS,
        "small": INTS_32,
        "tiny": _maybe(INTS_32),
        "x": _maybe(FLOATS),
        "y": FLOATS,
        "price": _decimals(9, 3),
        "rate": _maybe(_decimals(6, 1)),
        "s": _maybe(TEXTS),
        "t": TEXTS,
        "Kind": _maybe(st.sampled_from(["RED", "GREEN"])),
        "ok": _maybe(st.booleans()),
        "sure": st.booleans(),
        "at": TIMES_MS,
        "seen": _maybe(TIMES_US),
        "day": _maybe(DAYS),
        "user": _maybe(st.fixed_dictionaries({"id": TEXTS, "age": _maybe(INTS_32)})),
        "labels": _maybe(
            st.dictionaries(st.sampled_from(["a", "b'c", "d"]), _maybe(TEXTS), max_size=3)
        ),
        "tags": _maybe(st.lists(TEXTS, max_size=3)),
        "items": st.lists(
            st.fixed_dictionaries({"n": _maybe(st.integers(-2, 2)), "name": TEXTS}), max_size=3
        ),
    }
)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def _literal(draw: DrawFn, kind: str) -> str:
    match kind:
        case "int":
            return str(draw(st.one_of(INTS, st.integers(-10, 10))))
        case "float":
            return f"{draw(st.floats(allow_nan=False, allow_infinity=False)):e}"
        case "decimal":
            return str(draw(_decimals(4, 2)))
        case "string":
            return _quoted(draw(TEXTS))
        case "bool":
            return draw(st.sampled_from(["true", "FALSE"]))
        case "timestamp":
            text = draw(st.sampled_from(["2024-02-29 12:00:00", "1969-12-31 23:59:59.999999"]))
            return f"timestamp '{text}'"
    return draw(st.sampled_from(["date '2024-02-29'", "DATE '0001-01-01'"]))


@st.composite
def texts(draw: DrawFn, kind: str, depth: int) -> str:
    """An expression of a kind; some are refused for the digits of a decimal."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        if draw(st.integers(0, 4)) == 0:
            return draw(_literal(kind))
        return draw(st.sampled_from(LEAVES[kind]))
    inner = depth - 1

    def of(kind: str) -> str:
        return draw(texts(kind, inner))

    def pick(*names: str) -> str:
        return draw(st.sampled_from(names))

    general = [
        lambda: f"coalesce({of(kind)}, {of(kind)})",
        lambda: f"nullif({of(kind)}, {of(kind)})",
        lambda: f"case when {of('bool')} then {of(kind)} when {of('bool')} then {of(kind)} end",
        lambda: f"case {of('int')} when {of('int')} then {of(kind)} else {of(kind)} end",
    ]
    if kind != "bool":
        general.append(lambda: f"{pick('greatest', 'least')}({of(kind)}, {of(kind)}, {of(kind)})")
    special: dict[str, list[Callable[[], str]]] = {
        "int": [
            lambda: f"({of('int')} {pick('+', '-', '*', '/', '%')} {of('int')})",
            lambda: f"({of('int')} {pick('+', '-', '*', '/', '%')} {of('int')})",
            lambda: f"(- {of('int')})",
            lambda: f"abs({of('int')})",
            lambda: f"length({of('string')})",
            lambda: f"strpos({of('string')}, {of('string')})",
            lambda: f"extract({pick(*PARTS)} from {of(pick('timestamp', 'date'))})",
            lambda: f"epoch_ms({of('timestamp')})",
            lambda: f"try_cast({of(pick('string', 'float', 'decimal'))} as bigint)",
            lambda: f"cast({of('bool')} as bigint)",
        ],
        "float": [
            lambda: f"({of('float')} {pick('+', '-', '*', '/')} {of(pick('float', 'int'))})",
            lambda: f"({of('decimal')} / {of(pick('decimal', 'int'))})",
            lambda: f"{pick('round', 'floor', 'ceil', 'abs', '-')}({of('float')})",
            lambda: f"cast({of(pick('int', 'decimal'))} as double)",
            lambda: f"try_cast({of('string')} as double)",
        ],
        "decimal": [
            lambda: f"({of('decimal')} {pick('+', '-', '*')} {of('decimal')})",
            lambda: f"({of('decimal')} {pick('+', '-', '*')} {pick('small', '2', 'j')})",
            lambda: f"{pick('round', 'floor', 'ceil', 'abs', '-')}({of('decimal')})",
            lambda: f"round({of('decimal')}, {pick('0', '1', '2', '5')})",
            lambda: f"try_cast({of(pick('decimal', 'int', 'string'))} as decimal(7,2))",
            lambda: f"cast({of('int')} as decimal(20))",
        ],
        "string": [
            lambda: f"{pick('lower', 'upper', 'trim', 'ltrim', 'rtrim')}({of('string')})",
            lambda: f"({of('string')} || {of('string')})",
            lambda: f"concat({of('string')}, {of('string')})",
            lambda: f"substring({of('string')}, {of('int')})",
            lambda: f"substring({of('string')} from {of('int')} for {pick('0', '1', '3', 'j')})",
            lambda: f"split_part({of('string')}, {pick(*_SEPARATORS)}, {pick('1', '2', '9')})",
            lambda: f"replace({of('string')}, {pick(*_SEPARATORS)}, {of('string')})",
            lambda: f"cast({of(pick('int', 'bool', 'decimal', 'date'))} as text)",
        ],
        "bool": [
            lambda: f"({of('bool')} {pick('and', 'OR')} {of('bool')})",
            lambda: f"(not {of('bool')})",
            lambda: f"({of(pick(*SCALARS, 'bool'))} is {pick('', 'not')} null)",
            lambda: f"({of('string')} {pick('', 'not')} {pick('like', 'ilike')} {draw(PATTERNS)})",
            *[lambda: draw(_compared(inner))] * 4,
            lambda: f"starts_with({of('string')}, {of('string')})",
            lambda: f"try_cast({of('string')} as boolean)",
        ],
        "timestamp": [
            lambda: f"date_trunc('{pick(*UNITS)}', {of(pick('timestamp', 'date'))})",
            lambda: f"({of('timestamp')} {pick('+', '-')} interval '{pick(*_INTERVALS)}')",
            lambda: f"to_timestamp_millis({of('int')})",
            lambda: f"cast({of(pick('timestamp', 'date'))} as {pick('timestamp', 'timestamp(3)')})",
            lambda: f"try_cast({of('string')} as {pick('timestamp', 'timestamp(3)')})",
        ],
        "date": [
            lambda: f"cast({of('timestamp')} as date)",
            lambda: f"try_cast({of('string')} as date)",
            lambda: f"({of('date')} {pick('+', '-')} interval '{pick('1 day', '-2 weeks')}')",
        ],
    }
    made: Callable[[], str] = draw(st.sampled_from([*special[kind], *special[kind], *general]))
    return made()


@st.composite
def _compared(draw: DrawFn, depth: int) -> str:
    kind = draw(st.sampled_from(SCALARS))
    others = {"int": ["int", "float"], "float": ["int", "float"], "decimal": ["decimal", "float"]}
    others |= {"timestamp": ["timestamp", "date"]}
    other = draw(st.sampled_from(others.get(kind, [kind])))
    a, b = draw(texts(kind, depth)), draw(texts(other, depth))
    form = draw(st.sampled_from(["sign", "sign", "sign", "same", "between", "in"]))
    if form == "sign":
        return f"({a} {draw(st.sampled_from(['=', '<>', '<', '<=', '>', '>=']))} {b})"
    if form == "same":
        return f"({a} is {draw(st.sampled_from(['', 'not']))} distinct from {b})"
    if form == "between":
        return f"({a} between {b} and {draw(texts(kind, depth))})"
    values = draw(st.lists(_literal(kind), min_size=1, max_size=3))
    return f"({a} {draw(st.sampled_from(['', 'not']))} in ({', '.join(values)}))"


_SEPARATORS = ["'a'", "'/'", "'é'", "' '", "'ab'"]
_INTERVALS = ["1 day", "-3 hours", "2 weeks", "90 seconds", "999999 weeks", "5 milliseconds"]
PATTERNS = (
    st.lists(st.sampled_from(["%", "_", "a", "A", "é", "\\%", "\\_", "\\\\", ".", "Σ"]), max_size=4)
    .map("".join)
    .map(_quoted)
)
EXPRESSIONS = st.sampled_from([*SCALARS, "bool"]).flatmap(lambda kind: texts(kind, 3))
