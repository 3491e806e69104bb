"""The most frequent items, exactly and by a sketch that loses nothing it may not lose."""

from decimal import Decimal
from typing import Any

import pytest
from datasketches import frequent_strings_sketch

from fastdata import TopK
from fastdata.errors import CorruptStateError, MapError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate, Value
from fastdata.testing.laws import fold

STRING, INT = FieldType("string"), FieldType("int")
PAGES = TopK("page", k=2).bind(STRING)
SMALL = TopK("number", k=3, lg_size=4).bind(INT)  # holds 12
REVENUE = TopK("product", k=2, weight="price").bind(
    STRING, FieldType("decimal", scale=2, precision=9)
)


def exact(*rows: Value) -> Estimate:
    return Estimate.exact(tuple(rows))


def test_items_are_ordered_by_count_and_then_by_name() -> None:
    state = fold(PAGES, ["b", "a", "c", "c", "", "a", "b"])
    assert PAGES.present(state) == exact(("a", 2, 2, 2), ("b", 2, 2, 2))


def test_nothing_is_an_empty_list() -> None:
    assert PAGES.present(PAGES.zero()) == exact()


def test_the_empty_string_and_negative_numbers_are_items() -> None:
    assert PAGES.present(fold(PAGES, ["", "", "a"])) == exact(("", 2, 2, 2), ("a", 1, 1, 1))
    assert SMALL.present(fold(SMALL, [-(2**63)])) == exact((-(2**63), 1, 1, 1))
    many = SMALL.present(fold(SMALL, [-1] * 50 + list(range(20))))
    assert isinstance(many.value, tuple)
    assert (-1, 50) == many.value[0][:2]  # type: ignore[index]


def test_decimal_weights_are_summed_and_those_of_nothing_or_less_are_skipped() -> None:
    amounts = [("tea", "1.25"), ("cup", "9"), ("tea", "-1"), ("x", "0")]
    sold = [(product, Decimal(amount)) for product, amount in amounts]
    tea, cup = Decimal("1.25"), Decimal("9.00")
    assert REVENUE.present(fold(REVENUE, sold)) == exact(
        ("cup", cup, cup, cup), ("tea", tea, tea, tea)
    )


def test_weights_past_64_bits_stop_the_worker_and_do_not_begin_at_zero() -> None:
    heavy: Any = TopK("x", weight="y", lg_size=4).bind(INT, INT)
    state = fold(heavy, [(number, 2**58) for number in range(13)])
    for _ in range(31 - 13):
        heavy.add(state, (1, 2**58))
    with pytest.raises(MapError, match="add up to"):
        heavy.add(state, (1, 2**58))
    with pytest.raises(MapError, match="add up to"):
        fold(heavy, [(1, 2**62), (1, 2**62)])


def test_batch_counts_more_items_exactly() -> None:
    values = [number % 5_000 for number in range(7_000)]
    top = exact((0, 2, 2, 2), (1, 2, 2, 2), (2, 2, 2, 2))
    state = fold(SMALL, values, exact=True)
    assert SMALL.present(state) == SMALL.present(SMALL.load(SMALL.dump(state))) == top


def test_batch_keeps_the_exact_answer_of_more_than_it_stores() -> None:
    state = fold(SMALL, [number % 9_000 for number in range(9_001)], exact=True)
    loaded = SMALL.load(SMALL.dump(state))
    assert SMALL.present(loaded) == exact((0, 2, 2, 2), (1, 1, 1, 1), (2, 1, 1, 1))
    assert not SMALL.present(SMALL.add(loaded, 1)).is_exact


def test_exact_totals_stay_exact_with_the_few_items_of_a_partial() -> None:
    total = fold(SMALL, range(100), exact=True)
    state = SMALL.merge(SMALL.load(SMALL.dump(total)), fold(SMALL, [7, 7]))
    assert SMALL.present(state) == exact((7, 3, 3, 3), (0, 1, 1, 1), (1, 1, 1, 1))


def test_what_a_sketch_dropped_of_every_item_is_in_the_bounds_after_storing() -> None:
    # The library would write and merge a sketch without items as if it had seen nothing.
    state = fold(SMALL, range(13))
    assert state.sketch.num_active_items == 0
    assert len(frequent_strings_sketch.deserialize(state.sketch.serialize()).serialize()) == 8
    loaded = SMALL.load(SMALL.dump(state))
    merged = SMALL.merge(fold(SMALL, range(100, 113)), loaded)
    estimate = SMALL.present(SMALL.add(merged, 5))
    assert estimate == Estimate(((5, 3, 1, 3),), None, None)


def test_folding_goes_on_after_a_restart_as_if_there_was_none() -> None:
    values = [int(number**0.5) * 7919 % 1_000 for number in range(5_000)]
    plain, restarted = SMALL.zero(), SMALL.zero()
    for index, value in enumerate(values):
        plain, restarted = SMALL.add(plain, value), SMALL.add(restarted, value)
        if index % 37 == 0:
            restarted = SMALL.load(SMALL.dump(restarted))
    assert SMALL.dump(plain) == SMALL.dump(restarted)


def test_missing_events_widen_the_bounds_of_every_item() -> None:
    answer = SMALL.present(fold(SMALL, [1, 1, 2]))
    assert SMALL.widen(answer, 0) == answer
    assert SMALL.widen(answer, 4) == Estimate(((1, 2, 2, 6), (2, 1, 1, 5)), None, None)
    sold = REVENUE.present(fold(REVENUE, [("tea", Decimal(1))]))
    one = Decimal("1.00")
    assert REVENUE.widen(sold, 1) == Estimate((("tea", one, one, None),), None, None)


def test_few_items_are_stored_sorted_with_their_counts() -> None:
    data = PAGES.dump(fold(PAGES, ["b", "a", *["b"] * 299]))
    assert data == b"\x0a\x00" + b"\x04\0\0\0" + b"a\xffb\xff" + b"\x01" + b"\xac\x02"
    numbers = SMALL.dump(fold(SMALL, [-1], exact=True))
    assert numbers == b"\x04\x01" + b"\x08\0\0\0" + b"\xff" * 8 + b"\x01"


def test_the_stored_sketch_is_an_image_that_the_library_reads() -> None:
    data = SMALL.dump(fold(SMALL, [*range(13), *[3] * 9]))
    image = (
        "04010a040400000001000000000000001600000000000000010000000000000009000000000000000100000033"
    )
    assert data == b"\x04\x02" + bytes.fromhex(image)
    assert frequent_strings_sketch.deserialize(data[2:]).get_estimate("3") == 10


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 8, 9, 32, 40])
def test_a_changed_image_never_reaches_the_parser(at: int) -> None:
    data = bytearray(SMALL.dump(fold(SMALL, [*range(13), *[3] * 9])))
    data[2 + at] ^= 0x20
    with pytest.raises(CorruptStateError):
        SMALL.load(bytes(data))
