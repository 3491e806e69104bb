"""Which stored rows an answer is made of, by their dimensions, and which row each goes into."""

from collections.abc import Iterator, Sequence
from itertools import product

from fastdata.coordinates.dimensions import dump_dims
from fastdata.declare.filters import Filter
from fastdata.declare.metric import Metric

__all__ = ["ChosenDims"]

_MOST_BEGINNINGS = 100


class ChosenDims(dict[str, str | None]):
    """Chosen dimensions by stored ones, both as JSON; None for those that are of no row.

    As text they differ where their values do: in Python True and 1 are one value.

    Args:
        metric: Whose dimensions they are.
        by: The names of those that are chosen, in the order of the answer.
        where: What the stored ones have to be; None for any.

    Attributes:
        names: The dimensions of the smallest grouping set that tells all of it: it is read.
        begin: How the stored text of all of its rows begins.
        is_overall: Whether nothing is asked of dimensions.

    Raises:
        QueryError: No grouping set has all of these.
    """

    def __init__(self, metric: Metric, by: Sequence[str] = (), where: Filter | None = None) -> None:
        asked = (*by, *(where.names if where else ()))
        self._metric = metric
        self._by = by
        self._where = where
        self._set = metric.set_for(asked)
        self.names = metric.sets[self._set]
        self._indices = [self.names.index(name) for name in by]
        self.is_overall = not by and where is None
        self.begin = metric.dims_prefix(asked)

    def __missing__(self, stored: str) -> str | None:
        number, values = self._metric.read_dims(stored)
        is_read = number == self._set
        if is_read and self._where:
            is_read = self._where.accepts(dict(zip(self.names, values, strict=True)))
        chosen = dump_dims([values[index] for index in self._indices]) if is_read else None
        self[stored] = chosen
        return chosen

    @property
    def is_filtered(self) -> bool:
        """Whether a filter may leave stored rows out."""
        return self._where is not None

    @property
    def is_one_to_one(self) -> bool:
        """Whether no two stored combinations of dimensions can be of one row."""
        choices = self._where.choices if self._where else {}
        return all(name in self._by or len(choices.get(name, "??")) < 2 for name in self.names)

    def begins(self, *, is_bounded: bool) -> list[str]:
        """How the stored texts of all rows begin that are needed, in order.

        Args:
            is_bounded: Whether both ends of the range are given. Else all rows are needed: they
                tell where it begins and ends, whatever is asked about in it.
        """
        if self._where is None or not is_bounded:
            return [self.begin]
        return sorted(self._filtered(self._where))

    def _filtered(self, where: Filter) -> Iterator[str]:
        """Of the first dimensions, as far as the filter leaves few values of each."""
        leading: list[list[str]] = []
        number = 1
        for name in self.names:
            values = where.choices.get(name)
            number *= _MOST_BEGINNINGS + 1 if values is None else len(values)
            if values is None or number > _MOST_BEGINNINGS:
                break
            leading.append([dump_dims([value])[1:-1] for value in values])
        if not leading:
            yield self.begin
            return
        end = "]" if len(leading) == len(self.names) else ","
        for texts in product(*leading):
            yield f"{self.begin or '['}{','.join(texts)}{end}"
