"""What tells whether a row is the one that is there, where that cannot be compared in place."""

import hashlib
import json
from collections.abc import Mapping

__all__ = ["MOMENTS", "digest_of"]

MOMENTS = ("read_until", "updated_at")
"""The columns that are of when a row became what it is, and not of what it is."""


def digest_of(values: Mapping[str, object]) -> str:
    """32 hexadecimal digits of the values of a row, but for those of `MOMENTS`."""
    content = [value for name, value in values.items() if name not in MOMENTS]
    text = json.dumps(content, default=str, ensure_ascii=False).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
