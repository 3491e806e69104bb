"""The wrapping of everything that is stored: nothing is parsed before it verifies.

    magic 0xFD | version 1 | count of parts | parts ... | CRC-32 of all before, big-endian
    part: code (1 byte) | length (1 byte, or 0xFF and 4 bytes big-endian) | payload

Sketch libraries crash on corrupt bytes, so no parser may see bytes that were not checked here.
"""

from collections.abc import Sequence
from functools import cache
from zlib import crc32

from fastdata.errors import CorruptStateError

__all__ = [
    "HEAD",
    "MAX_BYTES",
    "MAX_WHOLE_BYTES",
    "head_of",
    "pack",
    "part_head",
    "short_heads",
    "too_large",
    "unpack",
]

MAX_BYTES = 1 << 20  # of what a serving store holds
MAX_WHOLE_BYTES = 1 << 30  # of what is kept beside the archive

HEAD = b"\xfd\x01"  # goes before the count of parts
_LONG = 0xFF
_SMALLEST = len(HEAD) + 1 + 4


def pack(parts: Sequence[tuple[int, bytes]], max_bytes: int = MAX_BYTES) -> bytes:
    """Wrap coded payloads into one blob; equal parts give equal bytes.

    Args:
        parts: At most 255 pairs of a code (0 to 255) and its payload.
        max_bytes: The most that the blob may have; below 4 GiB.

    Raises:
        CorruptStateError: The blob would be larger than `max_bytes`.
    """
    out = bytearray(head_of(len(parts)))
    for code, payload in parts:
        size = len(payload)
        if size < _LONG:  # as `part_head`: a call for each part would show
            out.append(code)
            out.append(size)
        elif size < max_bytes:
            out += part_head(code, size)
        else:
            raise too_large(size, max_bytes)
        out += payload
    out += crc32(out).to_bytes(4, "big")
    if len(out) > max_bytes:
        raise too_large(len(out), max_bytes)
    return bytes(out)


def head_of(parts: int) -> bytes:
    """What an envelope of so many parts begins with."""
    return HEAD + bytes((parts,))


@cache
def short_heads(code: int) -> tuple[bytes, ...]:
    """What is written before a part, by its size, while that is a short one."""
    return tuple([bytes((code, size)) for size in range(_LONG)])


def part_head(code: int, size: int) -> bytes:
    """What is written before the payload of a part, of so many bytes."""
    if size < _LONG:
        return bytes((code, size))
    return bytes((code, _LONG)) + size.to_bytes(4, "big")


def too_large(size: int, max_bytes: int) -> CorruptStateError:
    """The error of a state, or of a part of one, that has too many bytes."""
    return CorruptStateError(
        f"a state of {size} bytes is larger than the limit of {max_bytes}: use a smaller lg_k, "
        "fewer measures or shorter strings; of sessions and sequences, also one dimension more"
    )


def unpack(data: bytes, codes: Sequence[int], max_bytes: int = MAX_BYTES) -> list[bytes]:
    """Take the payloads out of a blob that `pack` made.

    Args:
        data: The blob, whole.
        codes: The codes that it must hold, in this order.
        max_bytes: The most that the blob may have.

    Raises:
        CorruptStateError: The bytes are cut, changed, too many, of another version, or hold
            other codes.
    """
    if not _SMALLEST <= len(data) <= max_bytes:
        raise CorruptStateError(f"a stored state of {len(data)} bytes cannot be one")
    if data[:2] != HEAD:
        raise CorruptStateError(
            f"a stored state begins with {data[:2].hex()}, not {HEAD.hex()}: it was written by "
            "another version or is no state"
        )
    if crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise CorruptStateError(f"the checksum of a stored state of {len(data)} bytes is wrong")
    return _split(data, len(data) - 4, codes)


def _split(data: bytes, end: int, codes: Sequence[int]) -> list[bytes]:
    payloads: list[bytes] = []
    at = _SMALLEST - 4
    if data[at - 1] != len(codes):
        raise CorruptStateError(f"a stored state has {data[at - 1]} parts, not {len(codes)}")
    for code in codes:
        # Behind the last part comes the checksum, so two bytes are always there.
        part_code, size, at = data[at], data[at + 1], at + 2
        if size == _LONG:
            size, at = int.from_bytes(data[at : at + 4], "big"), at + 4
        if part_code != code or at + size > end:
            raise CorruptStateError(f"a stored state has no whole part of code {code} at {at}")
        payloads.append(data[at : at + size])
        at += size
    if at != end:
        raise CorruptStateError(f"a stored state has {end - at} bytes too many")
    return payloads
