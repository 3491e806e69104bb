"""What each measure answers, and what it refuses."""

import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.count import Count
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Max, Min
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.uniques import Uniques
from fastdata.testing.laws import fold

INT, FLOAT, STRING = FieldType("int"), FieldType("float"), FieldType("string")
MONEY = FieldType("decimal", scale=2)


def answer(aggregate: Aggregate, *values: object) -> Any:
    estimate = aggregate.present(fold(aggregate, values))
    assert estimate.lower == estimate.upper == estimate.value
    assert estimate.confidence == 1.0
    return estimate.value


def test_count_counts_events() -> None:
    assert answer(Count().bind(), None, None, None) == 3


def test_count_of_a_field_counts_its_values_of_any_type() -> None:
    assert answer(Count("x").bind(FieldType("other")), {}, []) == 2


def test_ints_are_summed_past_64_bits() -> None:
    assert answer(Sum("x").bind(INT), 2**63 - 1, 2**63 - 1, 5) == 2**64 + 3


def test_decimals_are_summed_past_the_28_digits_of_the_default_context() -> None:
    large, small = Decimal("12345678901234567890123456789012345.67"), Decimal("0.01")
    total = answer(Sum("x").bind(MONEY), large, small, small)
    assert str(total) == "12345678901234567890123456789012345.69"


def test_a_narrow_context_of_the_caller_does_not_round_decimals() -> None:
    with localcontext(prec=3):
        total = answer(Sum("x").bind(MONEY), Decimal("12345.67"), Decimal("-0.01"))
    assert str(total) == "12345.66"


def test_the_sum_of_no_decimals_has_the_scale_of_the_field() -> None:
    assert str(answer(Sum("x").bind(MONEY))) == "0.00"


def test_floats_that_cancel_leave_what_is_small() -> None:
    assert answer(Sum("x").bind(FLOAT), 1e308, 1e308, 1.5, 5e-324, -1e308, -1e308) == 1.5


def test_ten_tenths_are_one() -> None:
    assert answer(Sum("x").bind(FLOAT), *[0.1] * 10) == 1.0


def test_sums_of_floats_are_rounded_as_the_exact_sum_is() -> None:
    chance = random.Random(7)
    values = [chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 300) for _ in range(300)]
    assert answer(Sum("x").bind(FLOAT), *values) == math.fsum(values)


def test_an_int_in_a_field_of_floats_is_a_float() -> None:
    # fastavro gives the default 0 of a double as an int.
    assert repr(answer(Sum("x").bind(FLOAT), 0, 1.5)) == "1.5"
    assert repr(answer(Max("x").bind(FLOAT), 2, 1.5)) == "2.0"


def test_a_sum_of_floats_past_the_largest_is_infinite() -> None:
    assert answer(Sum("x").bind(FLOAT), 1.7e308, 1.7e308) == math.inf
    assert answer(Sum("x").bind(FLOAT), -1.7e308, -1.7e308) == -math.inf


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([math.inf, 1.0], "inf"),
        ([-math.inf, -math.inf], "-inf"),
        ([math.inf, -math.inf], "nan"),
        ([math.nan, math.inf], "nan"),
        ([-0.0, -0.0], "0.0"),
        ([], "0.0"),
    ],
)
def test_floats_that_are_no_numbers_are_summed_as_documented(
    values: list[float], text: str
) -> None:
    aggregate = Sum("x").bind(FLOAT)
    assert repr(aggregate.present(fold(aggregate, values)).value) == text


def test_the_mean_of_ints_is_rounded_from_the_exact_ratio() -> None:
    assert answer(Mean("x").bind(INT), 2**62 + 1, 2**62, 2**62) == float(2**62)
    assert answer(Mean("x").bind(INT), 1, 0, 0) == 1 / 3


def test_the_mean_of_floats_is_rounded_once() -> None:
    values = [0.1, 0.2, 0.3, 1e16, -1e16, 7.7, 1e-30]
    exact = sum(Fraction(value) for value in values) / len(values)
    assert answer(Mean("x").bind(FLOAT), *values) == float(exact)


def test_the_mean_of_floats_does_not_overflow_on_the_way() -> None:
    assert answer(Mean("x").bind(FLOAT), 1.7e308, 1.7e308, 1.7e308) == 1.7e308


def test_the_mean_of_decimals_is_a_float() -> None:
    assert answer(Mean("x").bind(MONEY), Decimal("0.10"), Decimal("0.25")) == 0.175


def test_nan_makes_the_mean_nan() -> None:
    aggregate = Mean("x").bind(FLOAT)
    estimate = aggregate.present(fold(aggregate, [math.nan, 1.0]))
    assert repr(estimate.value) == "nan"


@pytest.mark.parametrize("measure", [Mean("x"), Min("x"), Max("x")])
def test_there_is_no_value_of_nothing(measure: Mean | Min | Max) -> None:
    assert answer(measure.bind(INT)) is None


@pytest.mark.parametrize(
    ("kind", "values", "smallest", "largest"),
    [
        ("int", [3, -7, 5], -7, 5),
        ("float", [3.5, -7.5, 5.0], -7.5, 5.0),
        ("decimal", [Decimal("3.10"), Decimal("-7.00")], Decimal("-7.00"), Decimal("3.10")),
        ("string", ["b", "", "\U0001f600", "\uffff"], "", "\U0001f600"),
        ("timestamp", [1356998400000, 0], 0, 1356998400000),
        ("date", [15706, 15705], 15705, 15706),
    ],
)
def test_min_and_max(kind: Kind, values: list[object], smallest: object, largest: object) -> None:
    type_ = FieldType(kind, scale=2 if kind == "decimal" else 0)
    assert answer(Min("x").bind(type_), *values) == smallest
    assert answer(Max("x").bind(type_), *values) == largest


def test_min_and_max_skip_nan() -> None:
    assert answer(Max("x").bind(FLOAT), math.nan, 1.0, math.nan) == 1.0
    assert answer(Min("x").bind(FLOAT), math.nan) is None


def test_min_and_max_know_one_zero() -> None:
    assert repr(answer(Max("x").bind(FLOAT), -0.0)) == "0.0"
    assert repr(answer(Min("x").bind(FLOAT), 0.0, -0.0)) == "0.0"


def test_the_largest_decimal_keeps_all_its_digits() -> None:
    large = Decimal("123456789012345678901234567890123456.78")
    assert str(answer(Max("x").bind(MONEY), large)) == str(large)


@pytest.mark.parametrize(
    ("measure", "type_", "expected"),
    [
        (Count(), None, pa.int64()),
        (Sum("x"), INT, pa.int64()),
        (Sum("x"), MONEY, pa.decimal128(38, 2)),
        (Sum("x"), FLOAT, pa.float64()),
        (Mean("x"), MONEY, pa.float64()),
        (Max("x"), STRING, pa.string()),
        (Max("x"), MONEY, pa.decimal128(38, 2)),
        (Max("x"), FieldType("timestamp", unit="us"), pa.timestamp("us", tz="UTC")),
        (Min("x"), FieldType("timestamp"), pa.timestamp("ms", tz="UTC")),
        (Min("x"), FieldType("date"), pa.date32()),
        (Uniques("x"), STRING, pa.int64()),
    ],
)
def test_arrow_types(measure: Any, type_: FieldType | None, expected: object) -> None:
    assert measure.bind(type_).arrow_type() == expected


@pytest.mark.parametrize(
    ("measure", "type_", "values"),
    [
        (Sum("x"), MONEY, [Decimal("1.25")]),
        (Max("x"), FieldType("timestamp", unit="us"), [1356998400000000]),
        (Max("x"), FieldType("date"), [15706]),
        (Mean("x"), INT, []),
    ],
)
def test_arrow_takes_what_is_presented(measure: Any, type_: FieldType, values: list[Any]) -> None:
    aggregate = measure.bind(type_)
    array = pa.array([answer(aggregate, *values), None], type=aggregate.arrow_type())
    assert array.null_count == 2 - len(values)


@pytest.mark.parametrize(
    ("measure", "type_", "words"),
    [
        (Sum("tailnum"), STRING, ["Sum", "'tailnum'", "string", "int, float, decimal"]),
        (Sum("late"), FieldType("bool"), ["Sum", "'late'", "bool"]),
        (Mean("at"), FieldType("timestamp"), ["Mean", "'at'", "timestamp"]),
        (Max("late"), FieldType("bool"), ["Max", "'late'", "int, float, decimal, string"]),
        (Min("raw"), FieldType("bytes"), ["Min", "'raw'", "bytes"]),
        (Uniques("x"), FLOAT, ["Uniques", "'x'", "float", "string, int, timestamp, date"]),
        (Uniques("x"), MONEY, ["Uniques", "decimal"]),
        (Uniques("x", lg_k=6), STRING, ["lg_k=6", "7 to 16"]),
        (Uniques("x", lg_k=17), STRING, ["lg_k=17", "7 to 16"]),
    ],
)
def test_a_field_that_does_not_fit_is_refused(
    measure: Any, type_: FieldType, words: list[str]
) -> None:
    with pytest.raises(DeclarationError) as caught:
        measure.bind(type_)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("measure", "type_", "value"),
    [
        (Sum("x"), INT, True),
        (Sum("x"), INT, 1.5),
        (Sum("x"), FLOAT, True),
        (Sum("x"), FLOAT, 10**400),
        (Sum("x"), FLOAT, "1"),
        (Sum("x"), MONEY, 1),
        (Sum("x"), MONEY, Decimal("0.001")),
        (Sum("x"), MONEY, Decimal("NaN")),
        (Mean("x"), INT, "1"),
        (Max("x"), INT, "1"),
        (Max("x"), INT, True),
        (Max("x"), STRING, b"1"),
        (Min("x"), FLOAT, "1"),
        (Min("x"), FieldType("date"), 1.0),
        (Uniques("x"), STRING, 1),
        (Uniques("x"), STRING, b"1"),
        (Uniques("x"), INT, True),
        (Uniques("x"), INT, 2**63),
        (Uniques("x"), INT, Decimal(1)),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(
    measure: Any, type_: FieldType, value: object
) -> None:
    aggregate = measure.bind(type_)
    with pytest.raises(MapError, match="field 'x' holds"):
        aggregate.add(aggregate.zero(), value)


ALL: list[Any] = [
    Count().bind(),
    *[Sum("x").bind(type_) for type_ in (INT, MONEY, FLOAT)],
    *[Mean("x").bind(type_) for type_ in (INT, MONEY, FLOAT)],
    *[
        measure.bind(FieldType(kind))
        for measure in (Min("x"), Max("x"))
        for kind in ("int", "float", "decimal", "string", "timestamp", "date")
    ],
    *[Uniques("x").bind(type_) for type_ in (STRING, INT)],
]


def test_codes_are_stored_and_never_change() -> None:
    codes = [aggregate.code for aggregate in ALL]
    assert codes == [1, 2, 3, 4, 5, 6, 7, *range(16, 22), *range(32, 38), 8, 9]


def test_the_stored_forms_never_change() -> None:
    ints, floats = [3, -300], [0.5, 1.0]
    forms = {
        "count": Count().bind().dump(258).hex(),
        "sum": Sum("x").bind(INT).dump(-297).hex(),
        "float sum": ALL[3].dump(fold(ALL[3], floats)).hex(),
        "infinite": ALL[3].dump(fold(ALL[3], [math.inf])).hex(),
        "mean": ALL[4].dump(fold(ALL[4], ints)).hex(),
        "no max": Max("x").bind(INT).dump(None).hex(),
        "max": Max("x").bind(STRING).dump("é").hex(),
        "min": Min("x").bind(FLOAT).dump(1.0).hex(),
    }
    assert forms == {
        "count": "0201",
        "sum": "d7fe",
        "float sum": "00ffff03",
        "infinite": "02000000",
        "mean": "0102d7fe",
        "no max": "",
        "max": "01c3a9",
        "min": "01000000000000f03f",
    }


@pytest.mark.parametrize("aggregate", ALL, ids=lambda a: f"{a.code}")
def test_noise_is_corrupt_or_a_state_never_a_crash(aggregate: Aggregate) -> None:
    chance = random.Random(aggregate.code)
    for _ in range(2_000):
        noise = chance.randbytes(chance.randrange(14))
        try:
            state = aggregate.load(noise)
        except CorruptStateError:
            continue
        aggregate.present(state)
        assert aggregate.dump(state) == noise


@pytest.mark.parametrize(
    ("aggregate", "data"),
    [
        (ALL[0], b""),
        (ALL[0], b"\xff"),
        (ALL[1], b"\1\0"),
        (ALL[3], b"\0\0"),
        (ALL[3], b"\x08\0\0\1"),
        (ALL[3], b"\0\0\0\2"),
        (ALL[3], b"\0\0\x7f\1"),
        (ALL[4], b""),
        (ALL[4], b"\x01\xff\0"),
        (ALL[4], b"\x09\1\1"),
        (Max("x").bind(STRING), b"\1\xff"),
        (Max("x").bind(STRING), b"a"),
        (Max("x").bind(FLOAT), b"\1\0\0"),
        (Max("x").bind(FLOAT), b"\1\0"),
        (Max("x").bind(FLOAT), b"\1\0\0\0\0\0\0\xf8\x7f"),
        (Max("x").bind(FLOAT), b"\1\0\0\0\0\0\0\0\x80"),
        (Max("x").bind(INT), b"\1"),
        (Max("x").bind(INT), b"\2\1"),
    ],
)
def test_a_malformed_state_is_corrupt(aggregate: Aggregate, data: bytes) -> None:
    with pytest.raises(CorruptStateError):
        aggregate.load(data)


def test_missing_events_raise_the_upper_bound_of_counts() -> None:
    assert Count().bind().widen(Estimate.exact(5), 3) == Estimate(5, 5, 8)
    uniques = Uniques("x").bind(STRING)
    assert uniques.widen(Estimate(50, 48, 53, 0.997), 3) == Estimate(50, 48, 56, 0.997)


@pytest.mark.parametrize("measure", [Sum("x"), Mean("x")])
def test_missing_events_leave_no_bounds_of_sums_and_means(measure: Sum | Mean) -> None:
    assert measure.bind(INT).widen(Estimate.exact(5), 1) == Estimate(5, None, None)


def test_missing_events_leave_the_bound_that_an_extreme_cannot_cross() -> None:
    assert Max("x").bind(INT).widen(Estimate.exact(5), 1) == Estimate(5, 5, None)
    assert Min("x").bind(INT).widen(Estimate.exact(5), 1) == Estimate(5, None, 5)


@pytest.mark.parametrize("aggregate", ALL, ids=lambda a: f"{a.code}")
def test_an_answer_is_not_exact_while_events_are_missing(aggregate: Aggregate) -> None:
    nothing = aggregate.present(aggregate.zero())
    assert nothing.is_exact
    assert not aggregate.widen(nothing, 1).is_exact
    assert aggregate.widen(nothing, 0) == nothing
