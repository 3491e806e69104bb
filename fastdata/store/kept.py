"""Small texts that are kept beside totals, each as the one total of a metric of its own.

Every store has them without a table more, as it has ready windows, and an earlier fastdata neither
reads them nor minds.
"""

import hashlib
import struct
import zlib
from collections.abc import Awaitable, Callable

from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import CorruptStateError, SpanConflictError
from fastdata.store.protocol import Flip, Head, ServingStore

__all__ = ["change_kept", "read_kept"]

_HEAD, _VERSION = struct.Struct(">BI"), 1  # and the CRC-32 of what follows
_SPAN = 0
_TRIES = 5


async def read_kept(store: ServingStore, id: str) -> bytes | None:
    """What is kept under an id, which no metric has; None when nothing is.

    Raises:
        CorruptStateError: It does not verify.
        StoreError: The store failed.
    """
    _, state = await _read(store, id)
    return _text(id, state)


async def change_kept(
    store: ServingStore, id: str, change: Callable[[bytes | None], Awaitable[bytes | None]]
) -> None:
    """Replace what is kept under an id. Atomic.

    Args:
        change: Makes of the text that is there, or of None where none is that verifies, the one
            that shall be, of at most 1 MiB; None to leave it. It is called again when another
            process has changed the text meanwhile.

    Raises:
        SpanConflictError: Others kept changing it; nothing was changed.
        StoreUnavailableError: It is not changed.
        CommitUnknownError: Nobody knows whether it is.
    """
    for tried in range(_TRIES):
        head, state = await _read(store, id)
        try:
            before = _text(id, state)
        except CorruptStateError:
            before = None
        text = await change(before)
        if text is None or text == before:
            return
        state = _HEAD.pack(_VERSION, zlib.crc32(text)) + text
        # Of the text before it, too: a text that comes back is another version.
        digest = hashlib.sha256(b"%d:%b" % (head.version if head else 0, state)).digest()
        version = int.from_bytes(digest[:8], "big") >> 1
        expected = (head.version, head.coverage) if head else None
        try:
            rows = await store.write_totals(id, version, {_SPAN: [(_SPAN, dump_dims(()), state)]})
            await store.publish(id, [Flip(_SPAN, expected, version, Coverage(), rows[_SPAN])])
        except SpanConflictError:
            if tried == _TRIES - 1:
                raise
        else:
            break
    await store.clean_up(id, _SPAN, _SPAN + HOUR_MS)


async def _read(store: ServingStore, id: str) -> tuple[Head | None, bytes | None]:
    reading = await store.read(id, id, id, _SPAN, _SPAN + HOUR_MS)
    state = next((total.state for total in reading.totals), None)
    return reading.heads.get(_SPAN), state


def _text(id: str, state: bytes | None) -> bytes | None:
    """The text of a state.

    Raises:
        CorruptStateError: It does not verify.
    """
    if state is None:
        return None
    head, text = state[: _HEAD.size], state[_HEAD.size :]
    if head != _HEAD.pack(_VERSION, zlib.crc32(text)):
        raise CorruptStateError(
            f"what is stored as {id} does not verify: the next one that ends begins anew"
        )
    return text
