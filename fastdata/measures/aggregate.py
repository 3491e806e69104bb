"""What a measure becomes when it is bound to the types of its arguments: an aggregate.

A measure is a declaration; its aggregate is a commutative monoid over states. The laws that all
aggregates keep are in `fastdata.testing.laws`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from fastdata.events.fieldtypes import Kind
from fastdata.measures.estimates import Estimate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CALL", "Aggregate", "State", "dump_whole", "fold_stored", "widened_by_any"]

_ANY_NUMBER = 1 << 62
CALL = "{state} = {add}({state}, {value})"
"""The `add_code` of an aggregate that has none."""

State = Any  # Opaque: only the aggregate that made a state looks inside.


class Aggregate(Protocol):
    """A measure that is bound to the types of its arguments.

    Promises: merging is associative and commutative, `zero()` is neutral, any split of the same
    values presents the same, dump and load change nothing, and equal contents dump equal.

    An aggregate with an attribute `is_canonical` that is False promises that only while its states
    are exact. Past that, order or chance decide on an estimate and its bytes, and it promises less:
    the truth lies within the bounds as often as they claim, for any split and grouping, and
    loading a stored state and dumping it again gives the same bytes.

    An aggregate may have an attribute `add_code`: Python lines that do what `add` does, where a
    call for every value would cost more than they do. They read and set `{state}`, read `{value}`,
    and leave what is rare to `{add}`.

    An aggregate whose `dump` replaces large states by an estimate may have a method
    `dump_whole(state) -> bytes` that never does: `load` reads these bytes, too, and what is merged
    from them stays exact. Batch stores the states of `rollups` with it. Without it, `dump` does.

    An aggregate whose states are small may have a method `load_groups(column, edges)`, which gives
    what loading and merging the groups of a `columns.Payloads` gives, many at a time, or None where
    that has to be done one by one. `fold_stored` says what that is. (What dumps many of ours at a
    time is `dump_groups`, from what the columnar engine of batch has of each.)
    """

    @property
    def code(self) -> int:
        """The number stored with every state: another one for each aggregate and kind of value.

        1 to 127 are fastdata's, 128 to 255 are for aggregates that users write.
        """

    @property
    def kind(self) -> Kind:
        """The kind of the presented values; timestamps and dates are integers since the epoch."""

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds the presented values."""

    def zero(self, exact: bool = False) -> State:
        """The state that nothing is folded into yet.

        Args:
            exact: Keep what an exact answer needs, as batch does; else a sketch may be enough.
        """

    def add(self, state: State, value: object) -> State:
        """Fold one value; may change and return `state`.

        Args:
            value: That of the measure's argument, never None; a tuple where it has several
                arguments, None where it has none.

        Raises:
            MapError: The value is not of the declared type.
        """

    def merge(self, state: State, other: State) -> State:
        """The state of what both have folded; may change and return `state`, not `other`."""

    def present(self, state: State) -> Estimate:
        """The answer with its bounds."""

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """The same estimate, its bounds wide enough for up to `events` events that are missing."""

    def dump(self, state: State) -> bytes:
        """The bytes to store, which `load` reads."""

    def load(self, data: bytes) -> State:
        """The state that `dump` or `dump_whole` wrote.

        Raises:
            CorruptStateError: The bytes are no state of this aggregate.
        """


def dump_whole(aggregate: Aggregate, state: State) -> bytes:
    """The bytes to store without replacing the state by an estimate, however many they are."""
    dump: Callable[[State], bytes] = getattr(aggregate, "dump_whole", aggregate.dump)
    return dump(state)


def fold_stored(aggregate: Aggregate, payloads: Sequence[bytes]) -> State:
    """The merged state of stored ones, of which there is at least one.

    Raises:
        CorruptStateError: A payload is no state of the aggregate.
    """
    state = aggregate.load(payloads[0])
    for payload in payloads[1:]:
        state = aggregate.merge(state, aggregate.load(payload))
    return state


def widened_by_any(aggregate: Aggregate, estimate: Estimate) -> Estimate:
    """The estimate for any number of values more, as an event may have any number of elements."""
    wide = aggregate.widen(estimate, _ANY_NUMBER)
    return replace(
        wide,
        lower=wide.lower if wide.lower == estimate.lower else None,
        upper=wide.upper if wide.upper == estimate.upper else None,
    )
