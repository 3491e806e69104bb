"""Laws of segments and coverage."""

from hypothesis import given
from hypothesis import strategies as st

from fastdata.coordinates.segments import Coverage, segment_of, segment_start

OFFSETS = st.integers(0, 2**62)
SIZES = st.integers(1, 10**7)
COVERAGES = st.dictionaries(st.integers(0, 99), st.integers(0, 10**9)).map(Coverage)


@given(OFFSETS, SIZES)
def test_every_offset_lies_in_exactly_one_segment(offset: int, size: int) -> None:
    segment = segment_of(offset, size)

    assert segment_start(segment, size) <= offset < segment_start(segment + 1, size)


@given(COVERAGES)
def test_a_coverage_survives_its_text(coverage: Coverage) -> None:
    assert Coverage.load(coverage.dump()) == coverage


def test_a_partition_of_which_nothing_is_counted_makes_no_difference() -> None:
    assert Coverage({1: 2, 0: 0}) == Coverage({1: 2})


def test_a_coverage_is_exclusive() -> None:
    coverage = Coverage({0: 3})

    assert [coverage.covers(0, segment) for segment in (2, 3)] == [True, False]
    assert not coverage.covers(1, 0)


def test_one_smaller_partition_is_behind() -> None:
    assert Coverage({0: 9, 1: 1}).is_behind(Coverage({0: 1, 1: 2}))
    assert not Coverage({0: 9, 1: 2}).is_behind(Coverage({0: 1, 1: 2}))
    assert Coverage().is_behind(Coverage({0: 1}))
