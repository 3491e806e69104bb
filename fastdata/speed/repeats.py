"""Event ids that were seen, to recognize an event that a producer sent twice."""

import struct
from collections import deque
from collections.abc import Iterable
from hashlib import blake2b
from itertools import takewhile

from fastdata.coordinates.segments import segment_of, segment_start

__all__ = ["Repeats"]

_ENTRY = struct.Struct(">QI")


class Repeats:
    """The event ids of one partition within a horizon of whole segments. Not for concurrent use.

    Whether an event is a repeat depends on the log alone: on the ids between the edge of
    the horizon and its own offset. An id is remembered by 64 bits of its BLAKE2 hash: among
    100,000 ids two of them share one with a probability below 3e-10.

    Args:
        horizon: How many offsets back an id is remembered at least; 0 for not at all.
        segment_size: In offsets.
    """

    def __init__(self, horizon: int, segment_size: int) -> None:
        self._segments = -(-horizon // segment_size)  # rounded up
        self._size = segment_size
        self._seen: dict[int, int] = {}  # hash -> first offset, in the order of offsets
        self._stored: deque[tuple[int, int]] = deque()  # restored, and not yet seen
        self._fresh: list[tuple[int, int]] = []  # the same, since the last drain
        self._segment = -1  # of the event before

    def is_repeat(self, identity: str | int | None, offset: int, span: int = 0) -> bool:
        """Whether the id was seen at a smaller offset; remembers it when not.

        Args:
            identity: The event's id; what has none is never a repeat.
            span: The hour of its event time, ms UTC. The same id in another hour is another
                event, because batch counts hour by hour and could not see both.
        """
        if identity is None or not self._segments:
            return False
        if self._stored:
            self._see_stored(offset)
        if (segment := offset // self._size) != self._segment:
            self._forget_before(segment)
        digest = blake2b(f"({identity!r}, {span})".encode(), digest_size=8).digest()
        key = int.from_bytes(digest, "big")
        first = self._seen.setdefault(key, offset)
        # It is also when it is folded again: an event does not repeat itself.
        if first == offset and (not self._stored or self._stored[0] != (offset, key)):
            self._fresh.append((key, offset))
        return first < offset

    def horizon(self, offset: int) -> int:
        """The first offset whose id still matters to an event at `offset`."""
        return max(0, segment_start(segment_of(offset, self._size) - self._segments, self._size))

    def drain(self) -> tuple[int, int, bytes] | None:
        """First offset, last offset and bytes of the ids since the last call; None for none."""
        if not self._fresh:
            return None
        first, last = self._fresh[0][1], self._fresh[-1][1]
        payload = b"".join(_ENTRY.pack(key, offset - first) for key, offset in self._fresh)
        self._fresh = []
        return first, last, payload

    def restore(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Remember the ids of stored rows: first offset and bytes, as `drain` returned them."""
        unpack = _ENTRY.iter_unpack
        entries = ((first + n, key) for first, payload in rows for key, n in unpack(payload))
        self._stored.extend(sorted(entries))

    def _see_stored(self, offset: int) -> None:
        """See the stored ids of all offsets before, as they were seen at first.

        An id may be stored twice: when it came again, the first one was behind the horizon, and may
        be so now or, to an event that is folded again, not yet.
        """
        while self._stored and self._stored[0][0] < offset:
            first, key = self._stored.popleft()
            self._seen.pop(key, None)  # so that the order stays that of offsets
            self._seen[key] = first

    def _forget_before(self, segment: int) -> None:
        self._segment = segment
        edge = segment_start(segment - self._segments, self._size)
        # The oldest come first, so that this looks at no more than it forgets.
        old = list(takewhile(lambda key: self._seen[key] < edge, self._seen))
        for key in old:
            del self._seen[key]
