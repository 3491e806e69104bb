"""The system metric of what the speed layer left out."""

from collections.abc import Mapping
from functools import cache

from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.count import Count

__all__ = ["counted_in", "unfolded_of"]


class _Unfolded(Metric):
    window_ms = HOUR_MS

    def _fields(self) -> Mapping[str, FieldType]:
        return {"reason": FieldType("string")}


@cache
def unfolded_of(source: Source) -> Metric:
    """The metric that counts, by reason and hour of event time, what the speed layer left out.

    The same source gives the same metric. Its only dimension is the reason: `late`, `future`,
    `repeat`, or `dead:` and the reason of a dead letter.
    """
    return _Unfolded("unfolded", source, by=("reason",), measures={"events": Count()})


def counted_in(unfolded: Metric, state: bytes) -> int:
    """How many events a stored state of that metric counts.

    Raises:
        CorruptStateError: It does not verify.
    """
    value = unfolded.aggregates[0].present(unfolded.load(state)[0]).value
    return value if isinstance(value, int) else 0
