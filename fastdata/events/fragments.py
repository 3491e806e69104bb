"""Fragments of Python that read one value of Avro, of which `generated.py` makes functions.

They read the bytes `data` from `i` on, and leave in `i` where to read on. It never goes back, so
what is cut off, or longer than there is, is noticed at the end. In `n` the lowest bit is the sign.
What is unusual they give up on: they return None, or raise one of `GIVES_UP`.
"""

import struct
from collections.abc import Mapping
from decimal import Decimal

from fastdata.events.logical import EXACT, read_decimal, read_uuid

__all__ = [
    "BRANCH",
    "DECIMAL",
    "ENUM",
    "FIXED",
    "GIVES_UP",
    "ITEMS",
    "MAX_BRANCHES",
    "NAMES",
    "PROMOTIONS",
    "READ",
    "SIZE",
    "SKIP",
    "SKIPPED_ITEMS",
    "TIMES",
    "UUID",
]

GIVES_UP = (ArithmeticError, LookupError, ValueError, struct.error)
MAX_BRANCHES = 64
"""Of a union, as one byte tells them."""
_MAX_BYTES, _MAX_BITS = 10, 64  # of a number; what is longer overflows

_LONG = """
n = data[i]
if n < 128:
    i += 1
    {v} = numbers[n]
else:
    m = data[i + 1]
    if m < 128:
        i += 2
        n += (m << 7) - 128
    else:
        o = data[i + 2]
        if o < 128:
            i += 3
            n += (m << 7) + (o << 14) - 16512
        else:
            n, i = number_at(data, i)
    {v} = n >> 1 ^ -(n & 1)
"""
SIZE = """
n = sizes[data[i]]
j = i + 1
if n is None:
    n, j = number_at(data, i)
    if n & 1:
        return None
    n >>= 1
i = j + n
"""
FIXED = """
j = i
i += {size}
"""
READ = {
    "null": "{v} = None",
    "boolean": "{v} = data[i] != 0\ni += 1",
    "int": _LONG,
    "long": _LONG,
    "float": "({v},) = float_at(data, i)\ni += 4",
    "double": "({v},) = double_at(data, i)\ni += 8",
    "string": SIZE + "{v} = data[j:i].decode()",
    "bytes": SIZE + "{v} = data[j:i]",
    "fixed": FIXED + "{v} = data[j:i]",
}
ENUM = SIZE.replace("i = j + n", "i = j") + "{v} = {symbols}[n]"
UUID = FIXED + "{v} = uuid_of(data[j:i], None)"
# After `SIZE` or `FIXED`.
DECIMAL = """
if i - j > {safe}:
    {v} = decimal_of(data[j:i], {node})
else:
    {v} = scaleb(Decimal(int_of(data[j:i], "big", signed=True)), {exponent})
"""
_SKIPPED_LONG = """
while data[i] > 127:
    i += 1
i += 1
"""
SKIP = {
    "null": "pass",
    "boolean": "i += 1",
    "int": _SKIPPED_LONG,
    "long": _SKIPPED_LONG,
    "enum": _SKIPPED_LONG,
    "float": "i += 4",
    "double": "i += 8",
    "string": SIZE,
    "bytes": SIZE,
    "fixed": "i += {size}",
}
BRANCH = """
n = data[i]
i += 1
"""
# A block whose count is negative also has a size in bytes. Each item takes a byte or more, so no
# count takes long.
_ITEMS = """
while True:
    n = data[i]
    if n == 0:
        i += 1
        break
    n, i = number_at(data, i)
    if n & 1:{sized}
    n >>= 1
    if n == 0 or n > len(data) - i:
        return None
    for _ in range(n):
"""
ITEMS = _ITEMS.format(
    sized="""
        n += 1
        _, i = number_at(data, i)"""
)
SKIPPED_ITEMS = _ITEMS.format(
    sized="""
        n, i = number_at(data, i)
        if n & 1:
            return None
        i += n >> 1
        continue"""
)
PROMOTIONS = {
    ("int", "long"): "{v} = {v}",
    ("int", "float"): "{v} = float({v})",
    ("int", "double"): "{v} = float({v})",
    ("long", "float"): "{v} = float({v})",
    ("long", "double"): "{v} = float({v})",
    ("float", "double"): "{v} = {v}",
    ("string", "bytes"): "{v} = {v}.encode()",
    ("bytes", "string"): "{v} = {v}.decode()",
}


def _long_of(count: int) -> str:
    """As `_LONG`, but fastest for numbers of so many bytes."""
    *heads, last = list("abcdefgh"[:count])
    total = last
    for name in reversed(heads):
        total = f"({total} << 7) + {name}"
    continued = sum(128 << 7 * index for index in range(len(heads)))
    return f"""
{", ".join(heads)}, {last} = data[i:i + {count}]
if {" & ".join(heads)} > 127 > {last}:
    i += {count}
    n = {total} - {continued}
else:
    n, i = number_at(data, i)
{{v}} = n >> 1 ^ -(n & 1)
"""


# From July 1970 to 2039, and from 1978 to 2112.
_MILLIS, _MICROS = _long_of(6), _long_of(8)
TIMES = {
    "timestamp-millis": _MILLIS,
    "timestamp-micros": _MICROS,
    "local-timestamp-millis": _MILLIS,
    "local-timestamp-micros": _MICROS,
}
"""By the meaning of a `long`."""


def _number_at(data: bytes, start: int) -> tuple[int, int]:
    """A number whose lowest bit is its sign, and where it ends.

    Raises:
        IndexError: It is cut off at once.
        ValueError: It is cut off, or longer than numbers are.
    """
    number = data[start]
    if number < 128:
        return number, start + 1
    number += (data[start + 1] << 7) - 128
    if number < 1 << 14:
        return number, start + 2
    number, shift = number - (1 << 14), 14
    for byte in data[start + 2 : start + _MAX_BYTES]:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128 and not number >> _MAX_BITS:
            return number, start + shift // 7
    raise ValueError("a number is cut off, or too long")


NAMES: Mapping[str, object] = {
    "number_at": _number_at,
    # Of one byte; a size that is negative, or takes more bytes, is None.
    "numbers": tuple([byte >> 1 ^ -(byte & 1) for byte in range(128)]),
    "sizes": tuple([None if byte & 129 else byte >> 1 for byte in range(256)]),
    "float_at": struct.Struct("<f").unpack_from,
    "double_at": struct.Struct("<d").unpack_from,
    "Decimal": Decimal,
    "int_of": int.from_bytes,
    "scaleb": EXACT.scaleb,
    "decimal_of": read_decimal,
    "uuid_of": read_uuid,
    "gives_up": GIVES_UP,
}
"""What the fragments use."""
