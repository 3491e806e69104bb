"""Quantiles: by definition while values are few, within a rank error after that."""

from decimal import Decimal

import pytest
from datasketches import kll_doubles_sketch

from fastdata import Quantiles
from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.testing.laws import fold

INT, FLOAT = FieldType("int"), FieldType("float")
NUMBERS = Quantiles("ms", at=[0, 0.07, 0.5, 0.99, 1], k=16).bind(INT)


def test_a_quantile_is_the_smallest_value_with_that_share_at_or_below() -> None:
    hundred = Quantiles("ms", at=[0, 0.07, 0.5, 0.501, 0.99, 1]).bind(INT)
    values = [*range(100, 0, -1)]
    assert hundred.present(fold(hundred, values)) == Estimate.exact((1, 7, 50, 51, 99, 100))


def test_nothing_has_no_quantiles() -> None:
    assert NUMBERS.present(NUMBERS.zero()) == Estimate.exact(None)


def test_nan_is_skipped_and_infinities_are_ends() -> None:
    floats = Quantiles("x", at=[0, 0.5, 1]).bind(FLOAT)
    inf, nan = float("inf"), float("nan")
    found = floats.present(fold(floats, [nan, inf, -0.0, -inf, nan]))
    assert repr(found.value) == "(-inf, 0.0, inf)"


def test_decimals_count_as_floats() -> None:
    prices = Quantiles("price", at=[0.5]).bind(FieldType("decimal", scale=2))
    assert prices.present(fold(prices, [Decimal("0.10")])) == Estimate.exact((0.1,))


def test_few_different_values_are_exact_however_often_they_come() -> None:
    values = [7] * 1_000 + [9] * 70 + list(range(10, 24))
    assert NUMBERS.present(fold(NUMBERS, values)) == Estimate.exact((7, 7, 7, 13, 23))


def test_the_ends_are_known_to_a_sketch_and_the_rest_has_bounds() -> None:
    found = NUMBERS.present(fold(NUMBERS, range(100_000)))
    assert found.confidence == 0.99
    ends = [[side[0], side[-1]] for side in (found.lower, found.value, found.upper)]  # type: ignore[index]
    assert ends[1] == [0, 99_999]
    assert ends[0][0] == 0
    assert ends[2][1] == 99_999


def test_batch_keeps_the_exact_answer_of_more_than_it_stores() -> None:
    state = fold(NUMBERS, range(1, 20_001), exact=True)
    loaded = NUMBERS.load(NUMBERS.dump(state))
    expected = Estimate.exact((1, 1_400, 10_000, 19_800, 20_000))
    assert expected == NUMBERS.present(state) == NUMBERS.present(loaded)
    assert not NUMBERS.present(NUMBERS.add(loaded, 1)).is_exact


def test_two_folds_of_the_same_events_are_two_states_with_one_number_of_values() -> None:
    # Should this fail, the library can be told its coins, and states may become canonical.
    one, two = (NUMBERS.dump(fold(NUMBERS, range(10_000))) for _ in range(2))
    assert one != two
    assert {kll_doubles_sketch.deserialize(data[3:]).n for data in (one, two)} == {10_000}


def test_missing_events_leave_no_bounds() -> None:
    answer = NUMBERS.present(fold(NUMBERS, [1, 2]))
    assert NUMBERS.widen(answer, 0) == answer
    assert NUMBERS.widen(answer, 1) == Estimate(answer.value, None, None)


def test_few_values_are_stored_sorted_with_their_numbers() -> None:
    data = NUMBERS.dump(fold(NUMBERS, [2, 1, *[2] * 299]))
    one, two = bytes.fromhex("000000000000f03f"), bytes.fromhex("0000000000000040")
    assert data == b"\x00\x10\0" + b"\x10\0\0\0" + one + two + b"\x01\xac\x02"


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 6, 8, 16, 18, 20, 24])
def test_a_changed_image_never_reaches_the_parser(at: int) -> None:
    data = bytearray(NUMBERS.dump(fold(NUMBERS, range(1_000))))
    data[3 + at] ^= 0x11
    with pytest.raises(CorruptStateError):
        NUMBERS.load(bytes(data))


@pytest.mark.parametrize("values", ["000000000000f87f", "0000000000000080"])
def test_a_stored_nan_or_negative_zero_is_refused(values: str) -> None:
    with pytest.raises(CorruptStateError, match="stored value"):
        NUMBERS.load(b"\x00\x10\0" + b"\x08\0\0\0" + bytes.fromhex(values) + b"\x01")
