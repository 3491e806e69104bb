"""What sessions and sequences keep: a few moments of each key, a user or a card.

A key is only told from others, never shown, so long texts are kept as a hash.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from fastdata.errors import CorruptStateError
from fastdata.measures.items import Items
from fastdata.measures.numbers import unsigned_from_bytes, unsigned_to_bytes

__all__ = ["KeyedAggregate", "Moment", "Moments"]

_HASH_SIZE = 16

Moment = tuple[int, int]  # a time, ms UTC, and a number that is not negative
Moments = list[Moment]  # in their order
_State = dict[bytes, Moments]


class KeyedAggregate:
    """State: the moments of each key, which `_union` says how to merge.

    Stored: the first time; and by ascending keys the length of the key (1 byte), the key, how many
    moments it has, and of each the time since the one before, or since the first time, and its
    number. Numbers are unsigned LEB128. A key is a little-endian int64, UTF-8 of at most 16 bytes,
    or the BLAKE2b of 16 bytes of a longer text. Nothing, of an empty state.
    """

    __slots__ = ()

    keys: Items

    def zero(self, exact: bool = False) -> _State:
        """The state of no events."""
        return {}

    def merge(self, state: _State, other: _State) -> _State:
        """The state of both."""
        for key, moments in other.items():
            mine = state.get(key)
            state[key] = [*moments] if mine is None else self._union(mine, moments)
        return state

    def _union(self, moments: Moments, others: Sequence[Moment]) -> Moments:
        """Both; may change and return `moments`, not `others`."""
        raise NotImplementedError

    def _put(self, state: _State, key: Any, moment: Moment) -> None:
        """Add a moment of a key; raises `MapError` for a key of another type than declared."""
        self.keys.check(key)
        name = _name(key)
        state[name] = self._union(state.get(name, []), (moment,))

    def dump(self, state: _State) -> bytes:
        """The bytes to store."""
        if not state:
            return b""
        first = min(moments[0][0] for moments in state.values())
        out = [unsigned_to_bytes(first)]
        for key, moments in sorted(state.items()):
            out += [bytes((len(key),)), key, unsigned_to_bytes(len(moments))]
            before = first
            for time, number in moments:
                out += [unsigned_to_bytes(time - before), unsigned_to_bytes(number)]
                before = time
        return b"".join(out)

    def load(self, data: bytes) -> _State:
        """The state that `dump` wrote.

        Raises:
            CorruptStateError: It did not.
        """
        if not data:
            return {}
        state: _State = {}
        first, at = unsigned_from_bytes(data, 0)
        before, begins = b"", []
        while at < len(data):
            end = at + 1 + data[at]
            key = data[at + 1 : end]
            count, at = unsigned_from_bytes(data, end)
            moments, time = [], first
            for _ in range(count):
                since, at = unsigned_from_bytes(data, at)  # which raises behind the end
                number, at = unsigned_from_bytes(data, at)
                moments.append((time := time + since, number))
            if not moments or (state and key <= before):
                raise _not_of_moments(data)
            state[key], before = moments, key
            begins.append(moments[0][0])
        if min(begins, default=-1) != first:
            raise _not_of_moments(data)
        return state


def _not_of_moments(data: bytes) -> CorruptStateError:
    return CorruptStateError(f"a stored state of {len(data)} bytes is none of moments")


def _name(key: int | str) -> bytes:
    if isinstance(key, int):
        return key.to_bytes(8, "little", signed=True)
    text = key.encode()
    return text if len(text) <= _HASH_SIZE else blake2b(text, digest_size=_HASH_SIZE).digest()
