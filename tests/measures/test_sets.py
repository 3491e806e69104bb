"""Sets of distinct values: counted, stored and compared."""

import random

import pytest
from datasketches import compact_theta_sketch

from fastdata import Sets, Uniques
from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.measures.sets import SetComparison, compare_states
from fastdata.testing.laws import fold

STRING, INT = FieldType("string"), FieldType("int")
NAMES = Sets("name").bind(STRING)
NUMBERS = Sets("number").bind(INT)
SMALL = Sets("number", lg_k=6).bind(INT)


def sure(value: object) -> Estimate:
    return Estimate(value, value, value, 0.997)  # type: ignore[arg-type]


def test_few_values_are_counted_as_they_are() -> None:
    assert NAMES.present(NAMES.zero()) == Estimate.exact(0)
    assert NAMES.present(fold(NAMES, ["", "a", "", "b"])) == sure(3)
    assert NAMES.present(fold(NAMES, ["", "a", ""], exact=True)) == Estimate.exact(2)


def test_more_values_than_batch_stores_keep_their_exact_number() -> None:
    data = NUMBERS.dump(fold(NUMBERS, range(20_000), exact=True))
    assert NUMBERS.present(NUMBERS.load(data)) == Estimate.exact(20_000)
    again = NUMBERS.merge(NUMBERS.load(data), NUMBERS.load(data))
    assert not NUMBERS.present(again).is_exact


def test_sets_of_batch_are_compared_exactly() -> None:
    left, right = (fold(NAMES, list(names), exact=True) for names in ("abcd", "cdefg"))
    found = compare_states(NAMES, left, right)
    sizes = (4, 5, 7, 2, 2, 3, 2 / 7)
    assert found == SetComparison(*map(Estimate.exact, sizes))


def test_a_set_and_a_small_sketch_are_compared_without_loss() -> None:
    left, right = fold(NAMES, list("abcd"), exact=True), fold(NAMES, list("cdefg"))
    found = compare_states(NAMES, left, right)
    assert found.left == Estimate.exact(4)
    assert [found.right, found.union, found.intersection] == [sure(5), sure(7), sure(2)]
    assert [found.left_only, found.right_only] == [sure(2), sure(3)]
    assert found.jaccard == Estimate(2 / 7, 2 / 7, 2 / 7, 0.954)


@pytest.mark.parametrize("exact", [False, True])
def test_two_empty_sets_have_no_similarity(exact: bool) -> None:
    found = compare_states(NAMES, NAMES.zero(exact), NAMES.zero())
    assert found.union == Estimate(0, 0, 0, found.union.confidence)
    assert found.jaccard == Estimate.exact(None)


def test_comparisons_hold_within_their_bounds_as_often_as_they_say() -> None:
    held: dict[str, list[bool]] = {name: [] for name in SetComparison.__slots__}
    for seed in range(200):
        chance = random.Random(seed)
        middle, end = sorted(chance.sample(range(100, 3_000), 2))
        start = chance.randrange(middle)
        left, right = (
            fold(SMALL, range(seed << 20, (seed << 20) + middle)),
            fold(SMALL, range((seed << 20) + start, (seed << 20) + end)),
        )
        truth = (middle, end - start, end, middle - start, start, end - middle)
        found = compare_states(SMALL, left, right)
        for name, true in zip(held, (*truth, (middle - start) / end), strict=True):
            estimate = getattr(found, name)
            held[name].append(estimate.lower <= true <= estimate.upper)
    # With probability 1e-9 or less fewer hold, were they right just as often as they say.
    assert {
        name for name, kept in held.items() if sum(kept) < (186 if name != "jaccard" else 168)
    } == set()


def test_other_measures_have_no_sets_to_compare() -> None:
    uniques = Uniques("x").bind(INT)
    with pytest.raises(DeclarationError, match=r"use Sets\('field'\)"):
        compare_states(uniques, uniques.zero(), uniques.zero())


def test_values_are_stored_sorted_and_sketches_as_ordered_images() -> None:
    assert NAMES.dump(fold(NAMES, ["b", "a"], exact=True)) == b"\x0c\x01" + b"a\xffb\xff"
    assert NUMBERS.dump(fold(NUMBERS, [-1], exact=True)) == b"\x0c\x01" + b"\xff" * 8
    image = "02030300001acc93020000000000000015f97dcbbd86a105e56b61eec8804420"
    assert NUMBERS.dump(fold(NUMBERS, [1, 0])) == b"\x0c\x00" + bytes.fromhex(image)
    assert compact_theta_sketch.deserialize(bytes.fromhex(image)).get_estimate() == 2


@pytest.mark.parametrize("size", [0, 1, 2, 1_000])
@pytest.mark.parametrize("at", [0, 1, 2, 5, 6, 7])
def test_a_changed_image_never_reaches_the_parser(size: int, at: int) -> None:
    data = bytearray(SMALL.dump(fold(SMALL, range(size))))
    data[2 + at] ^= 0x41
    with pytest.raises(CorruptStateError):
        SMALL.load(bytes(data))


def test_hashes_out_of_order_are_refused() -> None:
    data = SMALL.dump(fold(SMALL, range(10)))
    with pytest.raises(CorruptStateError, match="not in order"):
        SMALL.load(data[:-16] + data[-8:] + data[-16:-8])


def test_a_number_without_a_sketch_is_refused() -> None:
    nothing = SMALL.dump(SMALL.zero())
    with pytest.raises(CorruptStateError, match="contradicts"):
        SMALL.load(b"\x06\x02" + (9).to_bytes(8, "little") + nothing[2:])


def test_a_state_of_another_lg_k_is_refused() -> None:
    with pytest.raises(CorruptStateError, match="no set of lg_k 6"):
        SMALL.load(NUMBERS.dump(NUMBERS.zero()))
