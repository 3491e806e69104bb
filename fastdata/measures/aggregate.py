"""What a measure becomes when it is bound to the types of its fields: an aggregate.

A measure is a declaration; its aggregate is a commutative monoid over states. The laws that each
one keeps are in `fastdata.testing.laws`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fastdata.events.fieldtypes import Kind
from fastdata.measures.estimates import Estimate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Aggregate", "State", "dump_whole"]

State = Any  # Opaque: only the aggregate that made a state looks inside.


class Aggregate(Protocol):
    """One bound measure.

    Promises: merging is associative and commutative, `zero()` is neutral, any split of the same
    values presents the same, dump and load change nothing, and equal contents dump equal.

    One with an attribute `is_canonical` that is False promises that only while its states are
    exact. Past that, order or chance decide on an estimate and its bytes, and it promises less:
    the truth lies within the bounds as often as they claim, for any split and grouping, and a
    stored state stays itself.

    One whose `dump` gives large states up for an estimate may have `dump_whole(state) -> bytes`,
    which does not: `load` reads that, too, and what is merged of it stays exact. Batch keeps the
    states of `rollups` so. Without it `dump` does.
    """

    @property
    def code(self) -> int:
        """Stored with every state; of one aggregate and kind of value.

        1 to 127 are fastdata's, 128 to 255 of those who write aggregates of their own.
        """
        ...

    @property
    def kind(self) -> Kind:
        """Of the presented values: timestamps and dates stay integers since the epoch."""
        ...

    def arrow_type(self) -> "pa.DataType":
        """The type that takes the presented values."""
        ...

    def zero(self, exact: bool = False) -> State:
        """Nothing folded; `exact` keeps what batch needs to be exact."""
        ...

    def add(self, state: State, value: object) -> State:
        """Fold one value; may change and return `state`.

        Args:
            value: Never None, but without arguments; of several arguments a tuple.

        Raises:
            MapError: The value is not of the declared type.
        """
        ...

    def merge(self, state: State, other: State) -> State:
        """Both together; may change and return `state`, never changes `other`."""
        ...

    def present(self, state: State) -> Estimate:
        """The answer with its bounds."""
        ...

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """The same answer with bounds for up to `events` more events that were not folded."""
        ...

    def dump(self, state: State) -> bytes:
        """The stored form."""
        ...

    def load(self, data: bytes) -> State:
        """A state from its stored form.

        Raises:
            CorruptStateError: The bytes are no state of this aggregate.
        """
        ...


def dump_whole(aggregate: Aggregate, state: State) -> bytes:
    """The stored form that gives nothing up, however large it is."""
    dump: Callable[[State], bytes] = getattr(aggregate, "dump_whole", aggregate.dump)
    return dump(state)
