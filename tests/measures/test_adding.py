"""What is written for the aggregates of a metric does what each of them does."""

from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata.errors import CorruptStateError
from fastdata.measures.adding import compile_dumping
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.envelope import MAX_BYTES, pack

quick = settings(max_examples=150, deadline=None, database=None)


@dataclass(frozen=True)
class Bare:
    """An aggregate whose states are their dumps."""

    code: int

    def dump(self, state: bytes) -> bytes:
        """The state."""
        return state


def dumped(*parts: tuple[int, bytes]) -> bytes:
    aggregates = [Bare(code) for code, _ in parts]
    return compile_dumping(cast("list[Aggregate]", aggregates))([state for _, state in parts])


@quick
@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=300)), max_size=5))
def test_states_are_dumped_as_they_are_packed(parts: list[tuple[int, bytes]]) -> None:
    assert dumped(*parts) == pack(parts)


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 70_000])
def test_short_and_long_parts_are_packed_side_by_side(size: int) -> None:
    parts: list[Any] = [(8, b"a"), (9, b"x" * size), (8, b"b")]
    assert dumped(*parts) == pack(parts)


def test_states_that_are_too_large_are_refused() -> None:
    with pytest.raises(CorruptStateError, match="larger than the limit"):
        dumped((8, b"x" * MAX_BYTES))
