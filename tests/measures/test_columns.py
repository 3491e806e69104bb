"""What is read many at a time is what is read one by one."""

import random
from itertools import accumulate, pairwise
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate, dump_whole, fold_stored
from fastdata.measures.columns import Payloads, merge_column, unpack_columns
from fastdata.measures.count import Count
from fastdata.measures.envelope import pack, unpack
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import int_from_bytes, int_to_bytes
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.uniques import Uniques
from fastdata.testing import laws
from tests.measures.test_laws import CASES

INT = FieldType("int")
SUM = Sum("x").bind(INT)
NEAR_POWERS = [
    sign * (1 << bits) + more for bits in range(66) for sign in (1, -1) for more in (-1, 0, 1)
]
quick = settings(max_examples=25, deadline=None, database=None)


@pytest.mark.parametrize("case", CASES)
@quick
@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_groups_merge_as_one_by_one(case: str, data: st.DataObject, sizes: list[int]) -> None:
    aggregate, values = CASES[case]
    exact = st.booleans()
    payloads = [
        aggregate.dump(laws.fold(aggregate, data.draw(values), data.draw(exact)))
        for _ in range(sum(sizes))
    ]
    edges = [0, *accumulate(sizes)]
    groups = [payloads[start:end] for start, end in pairwise(edges)]
    merged = merge_column(aggregate, Payloads.of(payloads), edges)
    assert list(map(aggregate.dump, merged)) == [
        aggregate.dump(fold_stored(aggregate, group)) for group in groups
    ]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", ["int", "string"])
def test_distinct_values_of_many_states(kind: str, exact: bool) -> None:
    aggregate, rng = Uniques("x").bind(FieldType(kind)), random.Random(1)  # type: ignore[arg-type]
    of_kind = str if kind == "string" else int
    drawn = [[of_kind(rng.randrange(9_000)) for _ in range(40)] for _ in range(300)]
    payloads = [aggregate.dump(laws.fold(aggregate, values, exact)) for values in drawn]
    (merged,) = merge_column(aggregate, Payloads.of(payloads), [0, len(payloads)])
    assert aggregate.dump(merged) == aggregate.dump(fold_stored(aggregate, payloads))
    assert aggregate.present(merged).is_exact is exact


@pytest.mark.parametrize("kind", ["int", "string"])
def test_values_and_sketches_of_one_group(kind: str) -> None:
    aggregate, rng = Uniques("x").bind(FieldType(kind)), random.Random(2)  # type: ignore[arg-type]
    of_kind = str if kind == "string" else int

    def payload(number: int, exact: bool) -> bytes:
        return aggregate.dump(
            laws.fold(aggregate, [of_kind(rng.randrange(90_000)) for _ in range(number)], exact)
        )

    values = [payload(300, True) for _ in range(9)]
    others = [payload(30, False), payload(0, False), payload(0, True), payload(40_000, True)]
    rng.shuffle(payloads := values + others)
    for group in (payloads, [*values, others[0]], [*values, others[2]], [values[0], others[3]]):
        (merged,) = merge_column(aggregate, Payloads.of(group), [0, len(group)])
        assert aggregate.present(merged) == aggregate.present(fold_stored(aggregate, group))
        assert aggregate.dump(merged) == aggregate.dump(fold_stored(aggregate, group))


@pytest.mark.parametrize("value", ["", "\u00e9\u4e16", "a\0b", "x" * 3_000])
def test_many_texts_merge_with_those_of_another_group(value: str) -> None:
    aggregate = Uniques("x").bind(FieldType("string"))
    names = [f"N{number}" for number in range(2_000)]
    states = [laws.fold(aggregate, [*names, value], exact=True) for _ in range(2)]
    column = Payloads.of([aggregate.dump(state) for state in states])
    many, same = merge_column(aggregate, column, [0, 1, 2])
    assert aggregate.present(many) == Estimate.exact(2_001)
    few = laws.fold(aggregate, ["N1", "of another"], exact=True)
    assert aggregate.present(aggregate.merge(aggregate.merge(few, many), same)).value == 2_002
    assert dump_whole(aggregate, same) == dump_whole(aggregate, states[0])


def test_sums_of_all_sizes() -> None:
    for number in NEAR_POWERS:
        for other in (number, -number, 1):
            payloads = [int_to_bytes(number), int_to_bytes(other)]
            assert merge_column(SUM, Payloads.of(payloads), [0, 2]) == [number + other]
            assert merge_column(SUM, Payloads.of(payloads), [0, 1, 2]) == [number, other]


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=3))
def test_numbers_that_are_not_stored_so_are_refused(payloads: list[bytes]) -> None:
    column, edges = Payloads.of(payloads), [*range(len(payloads) + 1)]
    try:
        numbers = list(map(int_from_bytes, payloads))
    except CorruptStateError:
        with pytest.raises(CorruptStateError):
            merge_column(SUM, column, edges)
        return
    assert merge_column(SUM, column, edges) == numbers


@pytest.mark.parametrize(
    ("aggregate", "payload"),
    [
        (Count().bind(), int_to_bytes(-1)),
        (Mean("x").bind(INT), b""),
        (Mean("x").bind(INT), b"\1"),
        (Mean("x").bind(INT), b"\2\1"),
        (Mean("x").bind(INT), b"\1\xff\1"),
        (Uniques("x").bind(FieldType("string")), b"\x0c\1a"),
        (Uniques("x").bind(FieldType("string")), b"\x0c\1" + 5_000 * b"a"),
        (Uniques("x").bind(INT), b"\x0c\1a"),
        (Uniques("x").bind(INT), b"\x0c\1" + 5_001 * b"a"),
        (Uniques("x").bind(INT), b"\x0c\0a"),
    ],
)
def test_one_corrupt_state_among_many_is_an_error(aggregate: Aggregate, payload: bytes) -> None:
    sound = aggregate.dump(aggregate.zero(exact=payload[1:2] == b"\1"))
    for payloads in ([payload], [sound, payload, sound]):
        with pytest.raises(CorruptStateError):
            merge_column(aggregate, Payloads.of(payloads), [0, len(payloads)])


@settings(max_examples=150, deadline=None, database=None)
@given(st.data(), st.lists(st.integers(0, 255), max_size=4), st.integers(1, 6))
def test_what_was_packed_comes_out(data: st.DataObject, codes: list[int], count: int) -> None:
    payload = st.binary(max_size=300)
    blobs = [pack([(code, data.draw(payload)) for code in codes]) for _ in range(count)]
    columns = unpack_columns(blobs, codes)
    by_blob = [unpack(blob, codes) for blob in blobs]
    assert [column.each() for column in columns] == [list(c) for c in zip(*by_blob, strict=True)]


@settings(max_examples=300, deadline=None, database=None)
@given(st.data())
def test_what_unpack_refuses_is_refused_among_many(data: st.DataObject) -> None:
    sound = [pack([(1, b"ab"), (2, bytes(n))]) for n in (0, 3, 300)]
    wrong = bytearray(sound[data.draw(st.integers(0, 2))])
    match data.draw(st.sampled_from(["flipped", "cut", "longer", "other", "fewer"])):
        case "flipped":
            bit = data.draw(st.integers(0, 8 * len(wrong) - 1))
            wrong[bit // 8] ^= 1 << bit % 8
        case "cut":
            del wrong[data.draw(st.integers(0, len(wrong) - 1)) :]
        case "longer":
            wrong += b"\0"
        case "other":
            wrong[:] = pack([(1, b"ab"), (data.draw(st.integers(3, 255)), b"")])
        case "fewer":
            wrong[:] = pack([(1, data.draw(st.binary(max_size=20)))])
    at = data.draw(st.integers(0, 3))
    with pytest.raises(CorruptStateError):
        unpack_columns([*sound[:at], bytes(wrong), *sound[at:]], [1, 2])


@settings(max_examples=500, deadline=None, database=None)
@given(st.data())
def test_what_was_changed_and_sealed_again_is_read_as_by_unpack(data: st.DataObject) -> None:
    sound = pack([(1, b"ab"), (2, b"c")])
    wrong = bytearray(pack([(1, b"ab"), (2, bytes(data.draw(st.sampled_from([0, 3, 300]))))]))
    for _ in range(data.draw(st.integers(1, 2))):
        wrong[data.draw(st.integers(0, min(len(wrong), 16) - 1))] = data.draw(st.integers(0, 255))
    wrong[-4:] = crc32(wrong[:-4]).to_bytes(4, "big")
    blobs = [sound, bytes(wrong)]
    try:
        read = [unpack(blob, [1, 2]) for blob in blobs]
    except CorruptStateError:
        with pytest.raises(CorruptStateError):
            unpack_columns(blobs, [1, 2])
        return
    columns = unpack_columns(blobs, [1, 2])
    assert [column.each() for column in columns] == [list(c) for c in zip(*read, strict=True)]
