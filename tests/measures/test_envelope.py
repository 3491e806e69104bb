"""Bytes that do not verify never come out of an envelope."""

from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata.errors import CorruptStateError
from fastdata.measures.envelope import MAX_BYTES, MAX_WHOLE_BYTES, pack, unpack

PARTS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=5)
quick = settings(max_examples=150, deadline=None, database=None)


def test_the_layout_is_the_documented_one() -> None:
    blob = pack([(1, b"ab"), (9, b"")])
    assert blob[:-4] == b"\xfd\x01\x02" + b"\x01\x02ab" + b"\x09\x00"
    assert blob[-4:].hex() == "72129570"


def test_a_long_part_has_a_length_of_four_bytes() -> None:
    blob = pack([(7, b"x" * 255)])
    assert blob[3:9] == b"\x07\xff\x00\x00\x00\xff"
    assert unpack(blob, [7]) == [b"x" * 255]


@quick
@given(PARTS)
def test_what_was_packed_comes_out(parts: list[tuple[int, bytes]]) -> None:
    assert unpack(pack(parts), [code for code, _ in parts]) == [part for _, part in parts]


@quick
@given(PARTS, st.data())
def test_any_flipped_bit_is_noticed(parts: list[tuple[int, bytes]], data: st.DataObject) -> None:
    blob = bytearray(pack(parts))
    bit = data.draw(st.integers(0, 8 * len(blob) - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptStateError):
        unpack(bytes(blob), [code for code, _ in parts])


@quick
@given(PARTS, st.data())
def test_any_cut_is_noticed(parts: list[tuple[int, bytes]], data: st.DataObject) -> None:
    blob = pack(parts)
    size = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(CorruptStateError):
        unpack(blob[:size], [code for code, _ in parts])


@quick
@given(PARTS, st.binary(min_size=1, max_size=40))
def test_more_bytes_are_noticed(parts: list[tuple[int, bytes]], more: bytes) -> None:
    with pytest.raises(CorruptStateError):
        unpack(pack(parts) + more, [code for code, _ in parts])


@quick
@given(st.binary(max_size=80))
def test_noise_is_noticed(noise: bytes) -> None:
    with pytest.raises(CorruptStateError):
        unpack(noise, [1])


@pytest.mark.parametrize("codes", [[], [1], [1, 3], [2, 1], [1, 2, 3]])
def test_other_codes_are_refused(codes: list[int]) -> None:
    with pytest.raises(CorruptStateError):
        unpack(pack([(1, b"a"), (2, b"b")]), codes)


def test_another_version_is_named() -> None:
    with pytest.raises(CorruptStateError, match="fd02"):
        unpack(b"\xfd\x02" + pack([])[2:], [])


def test_a_length_past_the_end_is_refused_though_the_checksum_is_right() -> None:
    for body in (b"\xfd\x01\x01\x01\x09a", b"\xfd\x01\x01\x01\xff\x00", b"\xfd\x01\x01"):
        with pytest.raises(CorruptStateError, match="code 1"):
            unpack(body + crc32(body).to_bytes(4, "big"), [1])


def test_bytes_behind_the_last_part_are_refused_though_the_checksum_is_right() -> None:
    body = b"\xfd\x01\x00ab"
    with pytest.raises(CorruptStateError, match="2 bytes too many"):
        unpack(body + crc32(body).to_bytes(4, "big"), [])


def test_the_largest_state_passes_and_a_larger_one_is_refused_on_the_way_in() -> None:
    overhead = len(pack([(1, b"x" * 300)])) - 300
    largest = b"x" * (MAX_BYTES - overhead)
    assert unpack(pack([(1, largest)]), [1]) == [largest]
    with pytest.raises(CorruptStateError, match="limit of 1048576"):
        pack([(1, largest + b"x")])


def test_a_larger_state_is_refused_on_the_way_out() -> None:
    with pytest.raises(CorruptStateError, match="1048577 bytes"):
        unpack(b"\xfd\x01" + bytes(MAX_BYTES - 1), [1])


def test_what_is_kept_whole_may_be_larger() -> None:
    part = b"x" * MAX_BYTES
    blob = pack([(1, part)], MAX_WHOLE_BYTES)

    assert unpack(blob, [1], MAX_WHOLE_BYTES) == [part]
    with pytest.raises(CorruptStateError, match="limit of 2097152"):
        pack([(1, part), (2, part)], 2 * MAX_BYTES)
