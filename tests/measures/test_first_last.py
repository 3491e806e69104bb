"""First and last values: by event time, and by the value where times are equal."""

import math
import random
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import First, Last
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.testing import laws

KINDS: tuple[Kind, ...] = ("int", "float", "decimal", "string", "timestamp", "date", "bool")
INT, FLOAT, STRING, BOOL = (FieldType(kind) for kind in ("int", "float", "string", "bool"))
MONEY = FieldType("decimal", scale=2)

FIRSTS = [First("x").bind(FieldType(kind)) for kind in KINDS]
LASTS = [Last("x").bind(FieldType(kind)) for kind in KINDS]
TIMES = st.integers(-2, 2) | st.integers(-(2**63), 2**63 - 1)
VALUES: dict[Kind, st.SearchStrategy[object]] = {
    "int": st.integers(-3, 3) | st.integers(),
    "float": st.floats(),
    "decimal": st.integers().map(Decimal),
    "string": st.text(st.characters(codec="utf-8"), max_size=4),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
    "date": st.integers(-(2**31), 2**31 - 1),
    "bool": st.booleans(),
}


def answer(aggregate: Aggregate, *pairs: tuple[object, int]) -> Any:
    estimate = aggregate.present(laws.fold(aggregate, pairs))
    assert estimate.is_exact
    return estimate.value


def pairs(kind: Kind) -> st.SearchStrategy[list[tuple[object, int]]]:
    return st.lists(st.tuples(VALUES[kind], TIMES), max_size=8)


@pytest.mark.parametrize("measure", [First("x"), Last("x")])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, database=None)
@given(st.data(), st.booleans(), st.randoms(use_true_random=False))
def test_they_keep_the_laws(
    measure: First | Last, kind: Kind, data: st.DataObject, exact: bool, chance: random.Random
) -> None:
    aggregate = measure.bind(FieldType(kind))
    one, two, three = (data.draw(pairs(kind)) for _ in range(3))

    laws.merge_is_associative(aggregate, one, two, three, exact)
    laws.merge_is_commutative(aggregate, one, two, exact)
    laws.zero_is_neutral(aggregate, one, exact)
    laws.any_split_presents_the_same(aggregate, one, [chance.randrange(3) for _ in one], exact)
    laws.dump_and_load_change_nothing(aggregate, one, two, exact)
    laws.missing_values_stay_in_bounds(aggregate, one, two)


def test_the_times_decide_whatever_the_order() -> None:
    seen = [("b", 20), ("c", 10), ("a", 30), ("d", 25)]

    assert "c" == answer(First("x").bind(STRING), *seen)
    assert "a" == answer(Last("x").bind(STRING), *seen)


def test_there_is_no_value_of_nothing() -> None:
    assert answer(First("x").bind(INT)) is None
    assert answer(Last("x").bind(INT)) is None


@pytest.mark.parametrize(
    ("kind", "values", "first", "last"),
    [
        ("int", [2, -1, 3], -1, 3),
        ("float", [1.5, math.inf, -math.inf], -math.inf, math.inf),
        ("decimal", [Decimal("2.10"), Decimal("-1.00")], Decimal("-1.00"), Decimal("2.10")),
        ("string", ["b", "", "\U0001f600", "\uffff"], "", "\U0001f600"),
        ("timestamp", [1356998400000, 0], 0, 1356998400000),
        ("date", [15706, 15705], 15705, 15706),
        ("bool", [True, False], False, True),
    ],
)
def test_the_value_decides_where_times_are_equal(
    kind: Kind, values: list[object], first: object, last: object
) -> None:
    type_ = FieldType(kind, scale=2 if kind == "decimal" else 0)
    at_once = [(value, 7) for value in values]

    assert first == answer(First("x").bind(type_), *at_once)
    assert last == answer(Last("x").bind(type_), *at_once)


def test_nan_is_a_value_above_all_numbers() -> None:
    seen = [(1.5, 7), (math.nan, 7), (math.inf, 7)]

    assert 1.5 == answer(First("x").bind(FLOAT), *seen)
    assert "nan" == repr(answer(Last("x").bind(FLOAT), *seen))
    assert "nan" == repr(answer(First("x").bind(FLOAT), (math.nan, 6), *seen))


def test_there_is_one_zero() -> None:
    for measure in (First("x"), Last("x")):
        assert "0.0" == repr(answer(measure.bind(FLOAT), (0.0, 7), (-0.0, 7)))


def test_decimals_keep_their_scale_and_digits() -> None:
    large = Decimal("123456789012345678901234567890123456.70")

    assert str(large) == str(answer(Last("x").bind(MONEY), (large, 1)))


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (INT, pa.int64()),
        (MONEY, pa.decimal128(38, 2)),
        (BOOL, pa.bool_()),
        (FieldType("timestamp", unit="us"), pa.timestamp("us", tz="UTC")),
    ],
)
def test_arrow_types(type_: FieldType, expected: pa.DataType) -> None:
    assert expected == First("x").bind(type_).arrow_type()


def test_arrow_takes_bools() -> None:
    last = Last("x").bind(BOOL)

    assert [True, None] == pa.array([answer(last, (True, 1)), None], last.arrow_type()).to_pylist()


@pytest.mark.parametrize("kind", ["bytes", "record", "array", "map", "other"])
def test_a_field_without_an_order_is_refused(kind: Kind) -> None:
    with pytest.raises(DeclarationError, match=f"kind {kind}; what fits is: int, float"):
        First("x").bind(FieldType(kind))
    with pytest.raises(DeclarationError, match="no field"):
        Last("x").bind()


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (INT, True),
        (INT, "1"),
        (BOOL, 1),
        (STRING, b"1"),
        (FLOAT, True),
        (MONEY, 1),
        (FieldType("date"), 1.0),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(type_: FieldType, value: object) -> None:
    aggregate = Last("x").bind(type_)
    with pytest.raises(MapError, match="field 'x' holds"):
        aggregate.add(aggregate.zero(), (value, 1))


def test_missing_events_leave_no_bounds() -> None:
    assert Estimate(5, None, None) == LASTS[0].widen(Estimate.exact(5), 1)
    assert not FIRSTS[0].widen(Estimate.exact(None), 1).is_exact
    assert Estimate.exact(5) == LASTS[0].widen(Estimate.exact(5), 0)


def test_codes_and_stored_forms_never_change() -> None:
    assert list(range(72, 79)) == [aggregate.code for aggregate in FIRSTS]
    assert list(range(80, 87)) == [aggregate.code for aggregate in LASTS]
    stored = {
        "nothing": FIRSTS[0].dump(None).hex(),
        "int": FIRSTS[0].dump(laws.fold(FIRSTS[0], [(-300, 258)])).hex(),
        "float": LASTS[1].dump(laws.fold(LASTS[1], [(math.nan, -1)])).hex(),
        "string": LASTS[3].dump(laws.fold(LASTS[3], [("é", 0)])).hex(),
        "bool": LASTS[6].dump(laws.fold(LASTS[6], [(True, 0)])).hex(),
    }
    assert {
        "nothing": "",
        "int": "0201000000000000d4fe",
        "float": "ffffffffffffffff000000000000f87f",
        "string": "0000000000000000c3a9",
        "bool": "000000000000000001",
    } == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", b""),
        ("int", b"\1\0"),
        ("float", b"\0"),
        ("float", b"\0\0\0\0\0\0\0\x80"),
        ("float", b"\1\0\0\0\0\0\xf8\x7f"),
        ("string", b"\xff"),
        ("bool", b"\2"),
        ("bool", b""),
    ],
)
def test_a_malformed_state_is_corrupt(kind: Kind, value: bytes) -> None:
    with pytest.raises(CorruptStateError):
        First("x").bind(FieldType(kind)).load(bytes(8) + value)
    with pytest.raises(CorruptStateError):
        First("x").bind(FieldType(kind)).load(bytes(7))


@pytest.mark.parametrize("aggregate", [*FIRSTS, *LASTS], ids=lambda a: f"{a.code}")
def test_noise_is_corrupt_or_a_state_never_a_crash(aggregate: Aggregate) -> None:
    chance = random.Random(aggregate.code)
    for _ in range(1_000):
        noise = chance.randbytes(chance.randrange(18))
        try:
            state = aggregate.load(noise)
        except CorruptStateError:
            continue
        aggregate.present(state)
        assert noise == aggregate.dump(state)
