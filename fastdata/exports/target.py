"""Where a flat table is kept."""

from collections.abc import Mapping
from typing import Protocol, Self

import pyarrow as pa

from fastdata.exports.parts import Parts

__all__ = ["PartMarks", "Target"]

PartMarks = Mapping[int, str | None]
"""By the start of a part: what its rows are of; None when it has none any more."""


class Target(Protocol):
    """One flat table, and the marks of what is in it. For one exporter at a time.

    Every method raises `StoreUnavailableError` when the place did not do it, and
    `CommitUnknownError` when nobody knows; a topic raises `BrokerError`. All are retriable.

    Attributes:
        parts: What is replaced at once.
    """

    parts: Parts

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def open(self) -> dict[int, str]:
        """Make the table if there is none; the marks of what it holds.

        Raises:
            ExportError: There is something else in its place.
        """

    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Make `rows` all that the parts of `marks` hold, and remember the marks with them.

        Readers see each part as it was or as it is to be. Idempotent.

        Args:
            marks: Of adjacent parts.
            rows: With the columns of the table, ordered by window.

        Returns:
            How many rows were written.
        """

    async def finish(self) -> bool:
        """Show readers the table, if another one stood in its place; whether one did."""
