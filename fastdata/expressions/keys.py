"""How long the key of an event may be: one rule, said in Python for one engine, in SQL for another.

A key longer than that would not fit into the index of a store. Which events are left out depends
on what they hold and on the metric, and on nothing that a layer or a store does.
"""

from collections.abc import Sequence

from fastdata.coordinates.dimensions import MAX_DIMS_BYTES, Dimension, dims_bytes
from fastdata.errors import BadEventError
from fastdata.expressions.sql import to_sql
from fastdata.expressions.tree import Node

__all__ = ["check_key", "is_too_long", "safe_length"]

# Of one character as JSON has it: one that does not print takes six.
_CHARACTER_BYTES = 6
# With the comma, of a string without characters, and of the longest value of another kind.
_STRING_BYTES, _OTHER_BYTES = 3, 24


def safe_length(by: Sequence[Node]) -> int | None:
    """How many characters, or bytes, each string of a key may have without a closer look.

    None when no key can be too long, 0 when each must be looked at.
    """
    strings = sum(node.type.kind == "string" for node in by)
    room = MAX_DIMS_BYTES - 2 - strings * _STRING_BYTES - (len(by) - strings) * _OTHER_BYTES
    if not strings:
        return None if room >= 0 else 0
    return max(0, room // strings // _CHARACTER_BYTES)


def check_key(texts: Sequence[str], dims: Sequence[Dimension]) -> None:
    """Let a key pass that is not too long.

    Args:
        texts: The expressions of the dimensions.
        dims: Their values.

    Raises:
        BadEventError: It is too long.
    """
    size = dims_bytes(dims)
    if size > MAX_DIMS_BYTES:
        longest, text = max((dims_bytes([d]) - 2, t) for d, t in zip(dims, texts, strict=True))
        raise BadEventError(
            "key",
            "too-long",
            f"the dimensions take {size} bytes, {longest} of them {text}; a key has at most "
            f"{MAX_DIMS_BYTES}: let the metric cut it, as in substring({text}, 1, 200)",
        )


def is_too_long(by: Sequence[Node]) -> str | None:
    """SQL of whether a key is too long; None when no key can be."""
    limit = safe_length(by)
    if limit is None:
        return None
    # A comma or a bracket comes after each value, and a bracket before the first.
    size = " + ".join(["1", *[f"{_bytes_of(node)} + 1" for node in by]])
    exact = f"({size} > {MAX_DIMS_BYTES})"
    if not limit:
        return exact
    strings = [to_sql(node) for node in by if node.type.kind == "string"]
    is_long = " OR ".join([f"octet_length({sql}) > {limit}" for sql in strings])
    return f"(({is_long}) AND {exact})"


def _bytes_of(node: Node) -> str:
    """SQL of how many bytes `dump_dims` makes of a value."""
    sql, null = to_sql(node), len("null")
    if node.type.kind != "string":
        return f"coalesce(octet_length(CAST({sql} AS VARCHAR)), {null})"
    for characters, text in (r'["\\\x08\t\n\x0c\r]', "__"), (r"[\x00-\x1f]", "______"):
        sql = f"regexp_replace({sql}, '{characters}', '{text}', 'g')"
    return f"coalesce(octet_length({sql}) + 2, {null})"
