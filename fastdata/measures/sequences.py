"""Sequences of events of one key: how often one was completed, and how far each key has come."""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import merge
from typing import TYPE_CHECKING, ClassVar, cast

from fastdata.coordinates.instants import parse_duration
from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.items import Items
from fastdata.measures.keyed import KeyedAggregate, Moment, Moments
from fastdata.measures.numbers import CountingAggregate, FieldMeasure, checked_type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Funnel", "Sequences"]

_MOST_STEPS = 32
_State = dict[bytes, Moments]


@dataclass(frozen=True, slots=True)
class _StepsMeasure(FieldMeasure):
    """What `Sequences` and `Funnel` share.

    Args:
        field: What each event did: of strings, enums or integers.
        steps: 2 to 32 values of the field, in their order; the same one may come again.
        by: Whose events these are: of strings, enums or integers.
        within: How long it takes at most, from the first step to the last.
    """

    steps: Sequence[str | int]
    by: str
    within: str | timedelta
    timed: ClassVar[bool] = True
    is_funnel: ClassVar[bool]

    def __post_init__(self) -> None:
        # Of a list the declaration could be changed afterwards, and it would have no hash.
        if isinstance(self.steps, list):
            object.__setattr__(self, "steps", tuple(self.steps))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The field of the steps, and that of the key."""
        return (self.field, self.by)

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the fields' types.

        Raises:
            DeclarationError: One is no string and no integer, a step is no value of its field, or
                `within` is no duration.
        """
        if not isinstance(self.steps, tuple):  # a set has no order, and a text has letters
            raise DeclarationError(f'{self!r}: steps are no list; write ["item", "paid"]')
        values = Items.of_type(self.field, checked_type(self, types[:1], ("string", "int")))
        keys = Items.of_type(self.by, checked_type(self, types[1:], ("string", "int")))
        if not 2 <= len(self.steps) <= _MOST_STEPS:
            raise DeclarationError(f"{self!r} has {len(self.steps)} steps; give 2 to {_MOST_STEPS}")
        for step in self.steps:
            if type(step) is not values.item_type:
                raise DeclarationError(f"{self!r}: the step {step!r} is no value of {self.field!r}")
        try:
            within_ms = parse_duration(self.within)
        except ValueError as error:
            raise DeclarationError(f"{self!r}: within: {error}") from error
        # A value is stored as the first step that it is.
        steps = tuple([self.steps.index(step) for step in self.steps])
        numbers = {step: self.steps.index(step) for step in self.steps}
        kind = _FunnelAggregate if self.is_funnel else _SequencesAggregate
        return kind(keys, values, numbers, steps, within_ms)


@dataclass(frozen=True, slots=True)
class Sequences(_StepsMeasure):
    """How often events of one key had these values, one after the other, within some time.

    By event time; of one millisecond in the order of the steps. What lies between two steps does
    not matter, and no two sequences of a key overlap. Each ends as early as it can. An event that
    comes late counts as if it had come in time, and a sequence lies within the window of a row.

        tries = Metric("tries", payments, measures={"tested": Sequences(
            "status", ["declined", "declined", "declined", "approved"], by="card", within="10m",
        )})

    Stored: as `KeyedAggregate` says; the moments of a key are its events that are steps, their
    numbers the first step, from 0 on, that has the value.
    """

    is_funnel: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Funnel(_StepsMeasure):
    """How many keys have come to each of some steps, one after the other, within some time.

    A list of one number for each step: of the keys with an event of the first one, of those with
    one of the second after it, and so on. Time, order and stored form are those of `Sequences`.

        shop = Metric("shop", clicks, measures={"funnel": Funnel(
            "page", ["item", "cart", "paid"], by="user_id", within="1d",
        )})
    """

    is_funnel: ClassVar[bool] = True


@dataclass(frozen=True)
class _StepsAggregate(KeyedAggregate, CountingAggregate):
    """State: of each key the times and steps of its events.

    Attributes:
        numbers: By value, as what it is stored.
        steps: These numbers, in the order of the steps.
    """

    keys: Items
    values: Items
    numbers: dict[str | int, int] = field(hash=False)
    steps: tuple[int, ...]
    within_ms: int

    def add(self, state: _State, value: object) -> _State:
        (step, key), time = cast("tuple[tuple[str | int, object], int]", value)
        self.values.check(step)
        number = self.numbers.get(step)
        if number is not None:
            self._put(state, key, (time, number))
        return state

    def _union(self, moments: Moments, others: Sequence[Moment]) -> Moments:
        if len(others) == 1:
            insort(moments, others[0])
            return moments
        return [*merge(moments, others)]

    def _walk(self, moments: Moments) -> Iterable[int]:
        """The steps that are reached, from 0 on; after the last one it begins anew."""
        # By step: when the latest way to it began, which has the most time left.
        begun: list[int | None] = [None] * len(self.steps)
        for time, number in moments:
            for step in range(len(self.steps) - 1, -1, -1):
                if self.steps[step] != number:
                    continue
                start = begun[step - 1] if step else time
                if start is not None and time - start <= self.within_ms:
                    begun[step] = start
                    yield step
            if begun[-1] is not None:
                begun = [None] * len(self.steps)


@dataclass(frozen=True)
class _SequencesAggregate(_StepsAggregate):
    kind: ClassVar[Kind] = "int"

    @property
    def code(self) -> int:
        return 116 + (self.keys.item_type is int)

    def present(self, state: _State) -> Estimate:
        last = len(self.steps) - 1
        ends = [step == last for moments in state.values() for step in self._walk(moments)]
        return Estimate.exact(sum(ends))


@dataclass(frozen=True)
class _FunnelAggregate(_StepsAggregate):
    kind: ClassVar[Kind] = "array"

    @property
    def code(self) -> int:
        return 118 + (self.keys.item_type is int)

    def arrow_type(self) -> "pa.DataType":
        import pyarrow as pa

        return pa.list_(pa.int64())

    def present(self, state: _State) -> Estimate:
        counts = [0] * len(self.steps)
        for moments in state.values():
            for step in range(max(self._walk(moments), default=-1) + 1):
                counts[step] += 1
        return Estimate.exact(tuple(counts))
