"""Some rows of a file, from its beginning and from all over it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

from fastdata.errors import FastdataError
from fastdata.events.fieldtypes import SchemaNode
from fastdata.files.opening import open_events
from fastdata.files.profile import Profile, profile_rows
from fastdata.files.rows import EventFile, FileFormat, FileRow, without_nan

__all__ = ["Sample", "take_sample"]

_HEAD_ROWS = 10_000
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of a file.

    Attributes:
        format: Of the file.
        declared: As of `EventFile`.
        rows: Those that could be read.
        bad: How many could not.
        problems: The first of them, with the numbers of their lines.
        is_whole: Whether the file has no other rows.
        profiles: Of each key, in order.
        distinct: How many different rows there are.
    """

    format: FileFormat
    declared: Mapping[str, SchemaNode] | None
    rows: list[dict[str, Any]]
    bad: int
    problems: list[str]
    is_whole: bool
    profiles: dict[str, Profile] = field(init=False)
    distinct: int = field(init=False)

    def __post_init__(self) -> None:
        profiles = profile_rows(self.rows, is_text=self.format == "csv")
        object.__setattr__(self, "profiles", profiles)
        texts = {json.dumps(row, sort_keys=True, default=str) for row in self.rows}
        object.__setattr__(self, "distinct", len(texts))


def take_sample(
    stream: BinaryIO, name: str, format: FileFormat | None = None, *, rows: int = _HEAD_ROWS
) -> Sample:
    """Read the first rows of a file, and where it can seek, about 10,000 of the rest.

    Args:
        stream: The open file, from its first byte on.
        name: Of the file, for messages.
        format: None for what it looks like.
        rows: How many of the first.

    Raises:
        FastdataError: It is in no format that is known, or no row can be read.
    """
    try:
        return _sample(open_events(stream, format), rows)
    except FastdataError as error:
        raise FastdataError(f"{name}: {error}") from error


def _sample(file: EventFile, rows: int) -> Sample:
    bad: list[FileRow] = []
    read: list[dict[str, Any]] = []

    def take(row: FileRow) -> None:
        if row.fields is None:
            bad.append(row)
        else:
            read.append(without_nan(row.fields))

    stream = file.rows()
    for row in islice(stream, rows):
        take(row)
    following = next(stream, None)
    if following is not None:
        take(following)
        for row in file.spread():
            take(row)
    problems = [f"line {row.number}: {row.problem}" if row.number else row.problem for row in bad]
    if not read:
        first = f"; {problems[0]}" if problems else ""
        raise FastdataError(f"no row of it can be read{first}")
    is_whole = following is None
    return Sample(file.format, file.declared, read, len(bad), problems[:_SHOWN], is_whole)
