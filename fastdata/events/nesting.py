"""How deep JSON and types may be nested.

Reading them takes stack, of which there is more or less, and what becomes of an event may depend on
its bytes alone.
"""

import re
from itertools import accumulate

__all__ = ["MAX_LEVELS", "is_too_deep"]

MAX_LEVELS = 100
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)  # up to the end without one
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def is_too_deep(json: bytes) -> bool:
    """Whether arrays and objects are nested more than `MAX_LEVELS` deep; in linear time."""
    if json.count(b"[") + json.count(b"{") <= MAX_LEVELS:
        return False
    brackets = _TEXT.sub(b"", json).translate(None, _OTHERS)
    levels = accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)
    return max(levels, default=0) > MAX_LEVELS  # all of them may be in texts
