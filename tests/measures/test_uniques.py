"""Distinct counts: exact while a set is at hand, else one estimate per sketch."""

from collections.abc import Iterable
from typing import Any

import pytest
from datasketches import hll_sketch, hll_union, tgt_hll_type

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.uniques import Uniques
from fastdata.testing.laws import fold

STRING, INT = FieldType("string"), FieldType("int")
NAMES = Uniques("name").bind(STRING)
NUMBERS = Uniques("number").bind(INT)
HLL_8 = tgt_hll_type.HLL_8


def names(start: int, end: int) -> list[str]:
    return [f"N{number}" for number in range(start, end)]


def merged(aggregate: Aggregate, *states: Any) -> Any:
    result = aggregate.zero()
    for state in states:
        result = aggregate.merge(result, state)
    return result


def present(aggregate: Aggregate, values: Iterable[object], exact: bool = False) -> Estimate:
    return aggregate.present(fold(aggregate, values, exact))


def test_nothing_is_exactly_none() -> None:
    assert present(NAMES, []) == Estimate.exact(0)


def test_repeated_values_count_once() -> None:
    assert present(NAMES, ["a", "b", "a"]) == Estimate(2, 2, 2, 0.997)


def test_the_empty_string_is_a_value() -> None:
    assert present(NAMES, ["", "", "a"]).value == 2
    assert present(NAMES, ["", "a"], exact=True) == Estimate.exact(2)


def test_the_least_and_greatest_integers_are_values() -> None:
    assert present(NUMBERS, [-(2**63), 2**63 - 1, 0, -1]).value == 4


def test_a_set_is_exact_at_any_size() -> None:
    assert present(NUMBERS, range(20_000), exact=True) == Estimate.exact(20_000)


def test_a_large_estimate_has_bounds_around_the_truth() -> None:
    estimate = present(NUMBERS, range(20_000))
    assert estimate.confidence == 0.997
    assert isinstance(estimate.lower, int)
    assert isinstance(estimate.upper, int)
    assert 18_500 < estimate.lower < 20_000 < estimate.upper < 21_500


@pytest.mark.parametrize("size", [386, 500, 2_000, 10_000])
def test_the_estimate_is_the_composite_one_of_the_registers(size: int) -> None:
    # The reference is the remedy as published: the updatable image with the flag set.
    union = hll_union(12)
    for part in range(3):
        sketch = hll_sketch(12, HLL_8)
        for value in range(part, size, 3):
            sketch.update(value)
        union.update(sketch)
    image = bytearray(union.get_result(HLL_8).serialize_updatable())
    assert image[7] & 3 == 2
    image[5] |= 0x10
    reference = hll_sketch.deserialize(bytes(image))
    assert present(NUMBERS, range(size)).value == round(reference.get_estimate())


def test_the_library_alone_would_answer_by_history() -> None:
    # Should this fail, the library mends it, and the flag in the image may go.
    fed, union = hll_sketch(12, HLL_8), hll_union(12)
    for part in range(2):
        sketch = hll_sketch(12, HLL_8)
        for value in range(part, 10_000, 2):
            sketch.update(value)
            fed.update(value)
        union.update(sketch)
    assert fed.get_estimate() != union.get_result(HLL_8).get_estimate()


@pytest.mark.parametrize("size", [0, 1, 8, 9, 384, 385, 400, 5_000])
def test_registers_that_were_fed_or_merged_dump_equal(size: int) -> None:
    fed = fold(NAMES, names(0, size))
    parts = [fold(NAMES, names(0, size)[part::7]) for part in range(7)]
    backwards = fold(NAMES, reversed(names(0, size)))
    assert NAMES.dump(merged(NAMES, *parts)) == NAMES.dump(fed) == NAMES.dump(backwards)


def test_folding_goes_on_after_a_merge() -> None:
    state = merged(NAMES, fold(NAMES, names(0, 300)), fold(NAMES, names(200, 500)))
    for name in names(400, 900):
        state = NAMES.add(state, name)
    assert NAMES.dump(state) == NAMES.dump(fold(NAMES, names(0, 900)))


def test_sets_merge_into_their_union() -> None:
    state = NAMES.merge(fold(NAMES, ["a", "b"], exact=True), fold(NAMES, ["b", "c"], exact=True))
    assert NAMES.present(state) == Estimate.exact(3)


def test_a_set_and_a_sketch_merge_into_an_estimate() -> None:
    total, partial = fold(NAMES, names(0, 500), exact=True), fold(NAMES, names(500, 600))
    estimate = NAMES.present(merged(NAMES, total, partial))
    assert estimate.confidence == 0.997
    assert estimate == present(NAMES, names(0, 600))


@pytest.mark.parametrize("zero_exact", [False, True])
def test_an_exact_number_stays_exact_when_merged_with_nothing(zero_exact: bool) -> None:
    number = NUMBERS.load(NUMBERS.dump(fold(NUMBERS, range(20_000), exact=True)))
    assert NUMBERS.present(NUMBERS.merge(NUMBERS.zero(zero_exact), number)).is_exact
    assert NUMBERS.present(NUMBERS.merge(number, NUMBERS.zero(zero_exact))).is_exact


def test_two_exact_numbers_merge_into_an_estimate() -> None:
    data = NUMBERS.dump(fold(NUMBERS, range(20_000), exact=True))
    state = NUMBERS.merge(NUMBERS.load(data), NUMBERS.load(data))
    assert NUMBERS.present(state) == present(NUMBERS, range(20_000))


def test_an_exact_number_that_folds_more_becomes_an_estimate() -> None:
    state = NUMBERS.load(NUMBERS.dump(fold(NUMBERS, range(20_000), exact=True)))
    assert NUMBERS.present(NUMBERS.add(state, -1)) == present(NUMBERS, range(-1, 20_000))


def test_a_merged_set_does_not_share_the_other_one() -> None:
    other = fold(NAMES, ["a"], exact=True)
    state = NAMES.merge(NAMES.zero(), other)
    NAMES.add(state, "b")
    assert NAMES.present(other) == Estimate.exact(1)


def test_a_small_set_is_stored_sorted() -> None:
    data = NAMES.dump(fold(NAMES, ["b", "é", "a", ""], exact=True))
    assert data == b"\x0c\x01" + b"\xffa\xffb\xff\xc3\xa9\xff"
    numbers = NUMBERS.dump(fold(NUMBERS, [-1, 1], exact=True))
    assert numbers == b"\x0c\x01" + b"\xff" * 8 + b"\x01" + bytes(7)


def test_a_set_is_stored_up_to_64_kib_and_as_a_number_beyond() -> None:
    # A name of 6 characters takes 7 bytes, and there is a longer one.
    fits = fold(NAMES, [*names(10_000, 10_000 + 9_361), "N7654321"], exact=True)
    beyond = fold(NAMES, [*names(10_000, 10_000 + 9_361), "N87654321"], exact=True)
    assert NAMES.dump(fits)[1] == 1
    assert NAMES.dump(beyond)[1] == 2
    assert NAMES.present(NAMES.load(NAMES.dump(fits))) == Estimate.exact(9_362)
    assert NAMES.present(NAMES.load(NAMES.dump(beyond))) == Estimate.exact(9_362)


def test_small_states_are_stored_in_tens_of_bytes() -> None:
    assert len(NAMES.dump(fold(NAMES, ["a"]))) == 14
    assert len(NAMES.dump(fold(NAMES, names(0, 10)))) == 54


def test_the_stored_sketch_is_an_image_that_the_library_reads() -> None:
    data = NAMES.dump(fold(NAMES, names(0, 1_000)))
    assert round(hll_sketch.deserialize(data[2:]).get_estimate()) == pytest.approx(1_000, rel=0.05)


def test_a_state_of_another_lg_k_is_refused() -> None:
    data = NAMES.dump(fold(NAMES, ["a"]))
    with pytest.raises(CorruptStateError, match="no distinct count of lg_k 11"):
        Uniques("name", lg_k=11).bind(STRING).load(data)


def test_a_sketch_of_another_lg_k_inside_is_refused() -> None:
    data = bytearray(NAMES.dump(fold(NAMES, ["a"])))
    data[2 + 3] = 13
    with pytest.raises(CorruptStateError, match="lg_k 12"):
        NAMES.load(bytes(data))


def test_a_set_of_another_type_is_refused() -> None:
    data = NUMBERS.dump(fold(NUMBERS, [1, 2], exact=True))
    with pytest.raises(CorruptStateError, match="set"):
        NAMES.load(data)


@pytest.mark.parametrize(
    ("aggregate", "data"),
    [(NAMES, b"a"), (NAMES, b"a\xffb"), (NAMES, b"\xc3\xff"), (NUMBERS, bytes(7))],
)
def test_a_set_that_is_none_is_refused(aggregate: Aggregate, data: bytes) -> None:
    with pytest.raises(CorruptStateError, match="set"):
        aggregate.load(b"\x0c\x01" + data)


def test_a_number_without_a_sketch_is_refused() -> None:
    nothing = NAMES.dump(NAMES.zero())
    with pytest.raises(CorruptStateError, match="contradicts"):
        NAMES.load(b"\x0c\x02" + (9).to_bytes(8, "little") + nothing[2:])


@pytest.mark.parametrize("form", [1, 3, 255])
def test_another_form_is_refused(form: int) -> None:
    data = bytearray(NAMES.dump(fold(NAMES, ["a"])))
    data[1] = form
    with pytest.raises(CorruptStateError):
        NAMES.load(bytes(data))


@pytest.mark.parametrize("size", [1, 9, 400])
def test_a_cut_or_lengthened_sketch_is_refused(size: int) -> None:
    data = NAMES.dump(fold(NAMES, names(0, size)))
    for broken in (data[:-1], data[:-4], data + b"\0", data[:10], data[:3]):
        with pytest.raises(CorruptStateError):
            NAMES.load(broken)


@pytest.mark.parametrize("byte", [1, 2, 3, 7])
def test_a_sketch_of_another_kind_is_refused(byte: int) -> None:
    data = bytearray(NAMES.dump(fold(NAMES, names(0, 400))))
    data[2 + byte] ^= 0x05
    with pytest.raises(CorruptStateError):
        NAMES.load(bytes(data))
