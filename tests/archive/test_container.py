"""Avro's object container file, byte by byte."""

import base64
import io
import zlib
from contextlib import suppress

import fastavro
import pytest

from fastdata.archive.avro_file import Records, build_object
from fastdata.archive.container import Block, Header, read_blocks, write_block, write_header

SCHEMA = b'{"type":"record","name":"E","fields":[{"name":"x","type":"int"}]}'
HEADER = Header({"avro.schema": SCHEMA, "avro.codec": b"null"}, b"0123456789abcdef")
BLOCKS = [Block(2, b"\x02\x04", HEADER.sync), Block(1, b"\x06", HEADER.sync)]


def a_file() -> bytes:
    file = io.BytesIO()
    write_header(file, HEADER)
    for block in BLOCKS:
        write_block(file, block)
    return file.getvalue()


def test_an_object_has_the_bytes_that_it_always_had() -> None:
    records = Records(SCHEMA.decode(), 7, [5, 6, 9], [b"\x02", b"\x04", b"\x06"])

    _, data = build_object("name", 0, records)

    # The first bytes of the SHA-256 of the name.
    sync = bytes.fromhex("82a3537ff0dbce7eec35d69edc3a189e")
    packed = zlib.compress(b"\x02\x04\x06", wbits=-15)
    lengths = base64.b64encode(zlib.compress(b"\x01\0\0\0" * 3))
    assert data == b"".join(
        [
            b"Obj\x01\x08",
            *(b"\x16avro.schema", bytes([2 * len(SCHEMA) & 0x7F | 0x80, 1]), SCHEMA),
            *(b"\x14avro.codec", b"\x0edeflate"),
            *(b"\x20fastdata.offsets", b"\x1a[[5,2],[9,1]]"),
            *(b"\x20fastdata.lengths", bytes([2 * len(lengths)]), lengths),
            *(b"\x00", sync),
            *(b"\x06", bytes([2 * len(packed)]), packed, sync),
        ]
    )


def test_what_is_written_is_read_by_others_and_by_us() -> None:
    header, blocks = read_blocks(a_file())

    assert (header, list(blocks)) == (HEADER, BLOCKS)
    assert list(fastavro.reader(io.BytesIO(a_file()))) == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_file_that_is_cut_off_anywhere_but_between_blocks_is_no_file() -> None:
    data, counts = a_file(), []
    for end in range(len(data) + 1):
        with suppress(ValueError):
            counts.append(len(list(read_blocks(data[:end])[1])))

    assert counts == [0, 1, 2]


def test_a_block_without_the_sync_marker_is_none() -> None:
    data = a_file()

    with pytest.raises(ValueError, match=f"no sync marker before byte {len(data)}"):
        list(read_blocks(data[:-1] + b"x")[1])


@pytest.mark.parametrize("size", [b"\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff"])
def test_a_size_that_cannot_be_is_none(size: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        list(read_blocks(a_file() + b"\x02" + size)[1])
