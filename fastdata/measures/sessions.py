"""Sessions: runs of events of one user without a long pause."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, cast, get_args

from fastdata.coordinates.instants import parse_duration
from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.items import Items
from fastdata.measures.keyed import KeyedAggregate, Moment, Moments
from fastdata.measures.numbers import FieldMeasure, arrow_type, checked_type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sessions"]

_Answer = Literal["sessions", "seconds"]


@dataclass(frozen=True, slots=True)
class Sessions(FieldMeasure):
    """How many sessions there were: runs of events of one user, with pauses of at most `gap`.

    By event time, so it does not matter in which order events come: a late one may join two
    sessions. A session that goes on past the end of a row's window is one in each window.

        visits = Metric("visits", clicks, measures={
            "events": Count(), "sessions": Sessions("user_id", gap="30m"),
            "seconds": Sessions("user_id", gap="30m", answer="seconds"),
            "events_each": Ratio("events", "sessions"),
            "seconds_each": Ratio("seconds", "sessions"),
        })

    Stored: as `KeyedAggregate` says; the moments of a user are the beginnings of sessions, their
    numbers how long these are, in ms.

    Args:
        field: Whose sessions: of strings, enums or integers.
        gap: The longest pause within a session.
        answer: `sessions` for their number, `seconds` for how long all together were, as a float.
    """

    gap: str | timedelta = "30m"
    answer: _Answer = "sessions"
    timed: ClassVar[bool] = True

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: It is no string and no integer, `gap` is no duration, or `answer`
                is neither.
        """
        fitting = checked_type(self, types, ("string", "int"))
        if self.answer not in (choices := get_args(_Answer)):
            raise DeclarationError(f"{self!r}: answer is one of: {', '.join(choices)}")
        try:
            gap_ms = parse_duration(self.gap)
        except ValueError as error:
            raise DeclarationError(f"{self!r}: gap: {error}") from error
        return _SessionsAggregate(
            Items.of_type(self.field, fitting), gap_ms, self.answer == "seconds"
        )


@dataclass(frozen=True, slots=True)
class _SessionsAggregate(KeyedAggregate):
    keys: Items
    gap_ms: int
    is_time: bool

    @property
    def code(self) -> int:
        return 114 + (self.keys.item_type is int)

    @property
    def kind(self) -> Kind:
        return "float" if self.is_time else "int"

    def arrow_type(self) -> "pa.DataType":
        return arrow_type(self.kind)

    def add(self, state: dict[bytes, Moments], value: object) -> dict[bytes, Moments]:
        key, time = cast("tuple[object, int]", value)
        self._put(state, key, (time, 0))
        return state

    def _union(self, moments: Moments, others: Sequence[Moment]) -> Moments:
        for session in others:
            # Those that it joins lie side by side, since sessions are further apart than a gap.
            first = after = bisect_left(moments, session[0] - self.gap_ms, key=sum)
            while after < len(moments) and moments[after][0] <= sum(session) + self.gap_ms:
                after += 1
            joined = [session, *moments[first:after]]
            start = min(joined)[0]
            moments[first:after] = [(start, max(map(sum, joined)) - start)]
        return moments

    def present(self, state: dict[bytes, Moments]) -> Estimate:
        if self.is_time:
            lengths = [length for sessions in state.values() for _, length in sessions]
            return Estimate.exact(sum(lengths) / 1000)
        return Estimate.exact(sum(map(len, state.values())))

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """An event more is a session more, or makes one of two, or one longer by two gaps."""
        if not events:
            return estimate
        lower, upper = cast("float", estimate.lower), cast("float", estimate.upper)
        if self.is_time:
            return replace(estimate, upper=upper + events * 2 * self.gap_ms / 1000)
        return replace(estimate, lower=max(min(lower, 1), lower - events), upper=upper + events)
