"""Each operator alone, at the edges of its types: both engines give the same value."""

import math
from decimal import Decimal
from itertools import product

import pytest

from fastdata.errors import DeclarationError
from fastdata.expressions import compile_value, conditions, numbers, parse_expression
from fastdata.expressions.conversions import CONVERSIONS
from fastdata.expressions.functions import HANDLERS
from fastdata.expressions.parsing import Function
from fastdata.expressions.tree import Call, nodes_of
from tests.expressions.expression_texts import FIELDS, PARTS, UNITS
from tests.expressions.test_agree import answers, bits

INTS = [None, 0, 1, -1, 2, -7, 2**31, 2**63 - 1, -(2**63), 2**62]
FLOATS = [None, 0.0, -0.0, 0.5, -0.5, 2.5, -2.5, math.inf, -math.inf, math.nan, 2.0**63, 1e300]
TEXTS = [
    None, "", " a ", "\ta\n", "a/b", "Σas\ua7cb", "ǅ%_\\", "12", "-9223372036854775809", "1.25",
    "1e5", "true", "2024-02-29", "2023-02-29", "2024-02-29 23:59:59.5", "0001-01-01T00:00:00Z",
]  # fmt: skip
# Sundays and Mondays, leap days, both ends of the years, and what is outside of them.
TIMES = [
    0, -1, 951_782_400_000, 1_706_400_000_000, 1_706_486_399_999, 1_706_486_400_000,
    -62_135_596_800_000, -62_135_596_800_001, 253_402_300_799_999, 253_402_300_800_000,
    2**63 - 1, -(2**63),
]  # fmt: skip
DAYS = [None, 0, -1, 19_782, 19_783, -719_162, -719_163, 2_932_896, 2_932_897, 2**31 - 1, -(2**31)]
EXPRESSIONS = [
    *[f"i {sign} j" for sign in ("+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=")],
    # A comparison with a literal must not be moved to before a cast that can fail.
    *[f"(i {sign} j) <> 2" for sign in ("+", "-", "*", "/", "%")],
    "(day + interval '1 week') <> day", "(day + interval '1 week') <> date '2024-01-31'",
    "cast(at as timestamp) <> timestamp '2024-01-31'",
    *[f"try_cast({name} as bigint) <> 1" for name in ("x", "price", "s")],
    "try_cast(i as decimal(7, 2)) <> 1",
    *[f"small {sign} tiny" for sign in ("+", "-", "*", "/", "%")],
    *[f"x {sign} y" for sign in ("+", "-", "*", "/", "=", "<>", "<", "<=", ">", ">=")],
    *[f"price {sign} rate" for sign in ("+", "-", "*", "/", "=", "<")],
    *[f"{name}({of})" for name in ("abs", "-", "round", "floor", "ceil")
      for of in ("i", "small", "x", "price", "rate * price")],
    "round(price, 2)", "round(price, 1) = 0.1", "i is not distinct from j", "x is distinct from y",
    "nullif(i, j)", "nullif(x, y)", "greatest(i, j, small)", "least(i, j)", "greatest(x, y)",
    "least(x, y)", "coalesce(i, j)", "ok and sure", "ok or sure", "sure and ok", "sure or ok",
    "not ok", "i in (1, -1)", "x in (0e0, 2.5)", "i between j and 2", "i is null",
    "case when ok then i else j end",
    *[f"{name}(s)" for name in ("lower", "upper", "trim", "ltrim", "rtrim", "length")],
    "s || t", "concat(s, t)", "replace(s, 'a', t)", "split_part(s, '/', 2)", "starts_with(s, t)",
    "strpos(s, t)", "strpos(s, 'a')", "substring(s, i)", "substring(s, i, j)", "s like '%a%'",
    "blake2b(s)", "s like '_\\%%'", "s ilike '%A%'", "s < t", "s = t",
    *[f"date_trunc('{unit}', {of})" for unit in UNITS for of in ("at", "seen", "day")],
    *[f"extract({part} from {of})" for part in PARTS for of in ("at", "seen", "day")],
    "epoch_ms(at)", "epoch_ms(seen)", "to_timestamp_millis(i)", "at = seen", "at < day",
    "at + interval '1 day'", "seen - interval '3 hours'", "day + interval '1 week'",
    "day - interval '1 day'", "at in (timestamp '1969-12-31 23:59:59.999999')",
    "cast(i as double)", "cast(i as decimal(20))", "cast(i as text)", "cast(ok as bigint)",
    "cast(ok as text)", "cast(price as decimal(12, 5))", "cast(price as double)",
    "cast(price as text)", "cast(day as text)", "cast(day as timestamp)",
    "cast(day as timestamp(3))", "cast(at as timestamp)", "cast(seen as timestamp(3))",
    "cast(at as date)", "cast(seen as date)", "try_cast(price as decimal(7, 1))",
    "try_cast(price as decimal(7, 1)) = 0.1", "try_cast(price as bigint)",
    "try_cast(rate * 999999999999999999.0 * 99.0 as bigint)", "try_cast(x as bigint)",
    "try_cast(i as decimal(7, 2))",
    *[f"try_cast(s as {type})" for type in
      ("bigint", "double", "decimal(7, 1)", "boolean", "date", "timestamp", "timestamp(3)")],
    "cardinality(tags)", "array_contains(tags, t)", "labels['a']", "user.id", "user.age + 1",
]  # fmt: skip


def edges() -> list[dict[str, object]]:
    """Events in which each pair of integers, of floats and of texts meets."""
    pairs = [
        *product(INTS, INTS[1:]),
    ]
    floats, texts = list(product(FLOATS, FLOATS[1:])), list(product(TEXTS, TEXTS[1:]))
    events: list[dict[str, object]] = []
    for n in range(max(len(pairs), len(floats), len(texts))):
        i, j = pairs[n % len(pairs)]
        x, y = floats[n % len(floats)]
        s, t = texts[n % len(texts)]
        events.append({
            "i": i, "j": j, "x": x, "y": y, "s": s, "t": t, "Kind": None,
            "small": (0, 7, -7, 2**31 - 1, -(2**31))[n % 5], "tiny": (None, 3, -3)[n % 3],
            "price": Decimal((0, 50, -50, 1250, -999_999_999, 999_999_999)[n % 6]).scaleb(-3),
            "rate": None if n % 7 == 0 else Decimal((0, 5, -5, 999_999)[n % 4]).scaleb(-1),
            "ok": (None, True, False)[n % 3], "sure": n % 2 == 0,
            "at": TIMES[n % len(TIMES)], "seen": None if n % 5 == 0 else TIMES[n % 11] * 1000
            if abs(TIMES[n % 11]) < 2**53 else TIMES[n % 11], "day": DAYS[n % len(DAYS)],
            "user": None if n % 4 == 0 else {"id": t, "age": (None, 4)[n % 2]},
            "labels": (None, {}, {"a": t}, {"a": None, "d": "x"})[n % 4],
            "tags": (None, [], [t], ["x", ""])[n % 4], "items": [],
        })  # fmt: skip
    return events


NODES = [parse_expression(text, FIELDS, "test") for text in EXPRESSIONS]


def test_every_operator_agrees_at_the_edges() -> None:
    events = edges()
    wrong = []
    for node, column in zip(NODES, answers(NODES, events), strict=True):
        value = compile_value(node)
        for event, theirs in zip(events, column, strict=True):
            ours = value(event)
            ours = ours + 0.0 if isinstance(ours, float) else ours
            if bits(ours) != bits(theirs):
                wrong.append((node.text, ours, theirs))

    assert wrong[:9] == []


def test_every_operator_is_looked_at() -> None:
    used = {n.operator for node in NODES for n in nodes_of(node) if isinstance(n, Call)}

    tables = numbers.OPERATORS, conditions.OPERATORS, CONVERSIONS
    rows = {operator for table in tables for operator in table.values()}
    rows |= {row.operator for row, _ in HANDLERS.values() if isinstance(row, Function)}
    assert rows - used == set()


def test_every_function_is_named_where_an_unknown_one_is_refused() -> None:
    rows = [row for row, _ in HANDLERS.values() if isinstance(row, Function)]

    with pytest.raises(DeclarationError) as refused:
        parse_expression("unknown(i)", FIELDS, "test")

    names = str(refused.value).split("there are: ")[1].split("\n")[0].split(", ")
    assert {row.name for row in rows if row.name.islower()} - set(names) == set()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_what_is_said_to_be_never_null_is_not(text: str) -> None:
    node = parse_expression(text, FIELDS, "test")
    value = compile_value(node)

    assert node.type.nullable or all(value(event) is not None for event in edges()[:40])
