"""What became of records, as a worker has told the store."""

from collections import Counter
from collections.abc import Iterable

from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import BadEventError
from fastdata.events.decoder import LATEST_MS, Decoder
from fastdata.store.protocol import ServingStore

__all__ = ["fates_of"]


async def fates_of(
    store: ServingStore, everything: Metric, decoder: Decoder, values: Iterable[bytes | None]
) -> Counter[str]:
    """How many records were folded, left out, or dead, by reason; or dropped by a map function.

    Args:
        everything: Counts each event, and has no dimension.
        values: Of all records.
    """
    unfolded = unfolded_of(everything.source)
    fates: Counter[str] = Counter()
    for partial in await store.partials(everything.id, 0, LATEST_MS):
        fates["folded"] += _count(everything, partial.state)
    for partial in await store.partials(unfolded.id, 0, LATEST_MS):
        (reason,) = unfolded.read_dims(partial.dims)[1]
        # Of an event whose key is too long it is another metric that leaves it out.
        if reason != "dead:too-long":
            fates[str(reason)] += _count(unfolded, partial.state)
    if everything.source.mapper is not None:
        fates["dropped"] = sum(_is_dropped(decoder, value) for value in values)
    return fates


def _is_dropped(decoder: Decoder, value: bytes | None) -> bool:
    try:
        return decoder.decode(value, 0).fields is None
    except BadEventError:
        return False


def _count(metric: Metric, state: bytes) -> int:
    value = metric.aggregates[0].present(metric.load(state)[0]).value
    assert isinstance(value, int)
    return value
