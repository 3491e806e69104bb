"""Columns of events as codes, of which sorting and comparing are much faster than of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import SessionContext
from numpy.typing import NDArray

__all__ = ["CodedColumn", "CodedEvents", "ask"]


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column, of which each value is a number.

    Attributes:
        codes: Of each row the place of its value in `values`.
        values: The different ones, in the order of SQL; a null is the last.
    """

    codes: NDArray[np.int32]
    values: pa.Array

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self:
        """The codes of a column."""
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        order = pc.sort_indices(encoded.dictionary)
        ranks = np.empty(len(order), np.int32)
        ranks[order.to_numpy()] = np.arange(len(order))
        return cls(ranks[encoded.indices.to_numpy()], encoded.dictionary.take(order))


class CodedEvents:
    """Columns of a job's events as codes, each made once for all metrics that ask for it.

    Args:
        context: Has the events registered.
        max_rows: Of more rows nothing is coded: DataFusion sorts them, as it can spill.
    """

    def __init__(self, context: SessionContext, max_rows: int) -> None:
        self.context = context
        self._max_rows = max_rows
        self._names: dict[str, str] = {}
        self._made: dict[tuple[str, str], CodedColumn] = {}

    def name_of(self, expression: str) -> str:
        """A name that all metrics of the job give an expression, and no other one."""
        # DataFusion names two by their text without casts. No field of Avro can have such a name.
        return self._names.setdefault(expression, f'"0e{len(self._names)}"')

    def columns(
        self, selected: Sequence[str], events: str, chosen: str, rows: int
    ) -> list[CodedColumn] | None:
        """Columns of the same rows; None of too many of them.

        Args:
            selected: SQL of each, with the names of expressions.
            events: SQL from FROM on.
            chosen: Equal for equal rows, whatever else can be selected of them.
            rows: How many there are.
        """
        if rows > self._max_rows:
            return None
        missing = [sql for sql in dict.fromkeys(selected) if (chosen, sql) not in self._made]
        if missing:
            columns = ask(self.context, missing, events).columns
            for sql, column in zip(missing, columns, strict=True):
                self._made[chosen, sql] = CodedColumn.of(column)
        return [self._made[chosen, sql] for sql in selected]


def ask(
    context: SessionContext, selected: Sequence[str], rest: str, distinct: str = ""
) -> pa.Table:
    """The answer of a query.

    Args:
        rest: From FROM on.
    """
    named = ", ".join(f'{sql} AS "{n}"' for n, sql in enumerate(selected))
    return context.sql(f"SELECT {distinct} {named} {rest}").to_arrow_table()
