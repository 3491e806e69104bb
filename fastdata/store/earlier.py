"""Where the answers of a metric are after its declaration was changed.

Another definition is another metric, whose past a replay has to count. Until then a reader who
finds nothing should know that the definition before still has it.
"""

from dataclasses import dataclass

from fastdata.coordinates.instants import HOUR_MS, to_datetime, to_iso
from fastdata.store.protocol import EVER, ServingStore

__all__ = ["EarlierDefinition", "find_earlier"]

_DIGITS = 12  # of the fingerprint that an id ends with


@dataclass(frozen=True, slots=True)
class EarlierDefinition:
    """A definition that has answers where the present one has none.

    Attributes:
        name: Of the metric.
        id: Of the earlier definition.
        present: Id of the present one.
        start: Of the first hour that batch has counted of it, ms UTC.
        end: Of the last one, exclusive.
    """

    name: str
    id: str
    present: str
    start: int
    end: int

    @property
    def hint(self) -> str:
        """What to do, in one line."""
        return (
            f"an earlier definition of the metric {self.name} ({self.id}) has answers from "
            f"{to_datetime(self.start):%Y-%m-%d %H:%M} to {to_datetime(self.end):%Y-%m-%d %H:%M} "
            f"UTC; fastdata replay --metric {self.name} fills the present one ({self.present})"
        )

    def as_dict(self) -> dict[str, str]:
        """For JSON; instants as ISO text."""
        start, end = to_iso(self.start, "minutes"), to_iso(self.end, "minutes")
        return {"definition": self.id, "start": start, "end": end, "hint": self.hint}


async def find_earlier(
    store: ServingStore, name: str, id: str, start: int = EVER[0], end: int = EVER[1]
) -> EarlierDefinition | None:
    """The definition of a metric, of those before the present one, that was replayed last.

    None when batch has counted nothing of any other one in the range.

    Args:
        name: Of the metric.
        id: Of its present definition.
        start: ms UTC.
        end: ms UTC, exclusive.

    Raises:
        StoreError: The store failed.
    """
    prefix = f"{name}-"
    for other in await store.replayed(prefix):
        # What is kept beside a metric, as its errors, has a longer id.
        if other == id or len(other) != len(prefix) + _DIGITS:
            continue
        if heads := await store.heads(other, start, end):
            return EarlierDefinition(name, other, id, min(heads), max(heads) + HOUR_MS)
    return None
