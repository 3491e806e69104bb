"""Files of lines: JSON, one object a line, and CSV with a header."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import BinaryIO, Never

from fastdata.errors import FastdataError
from fastdata.files.rows import FileFormat, FileRow

__all__ = ["CsvFile", "JsonFile"]

_MAX_LINE_BYTES = 1 << 20
_PLACES, _LINES_A_PLACE = 20, 500
_DELIMITERS = ",;\t|"


class JsonFile:
    """One JSON object a line; see `EventFile`.

    Raises:
        FastdataError: It is one array.
    """

    format: FileFormat = "json"
    declared = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def rows(self) -> Iterator[FileRow]:
        """All rows; see `EventFile`.

        Raises:
            FastdataError: A line is too long, or all is one array.
        """
        for number, line in enumerate(_lines(self._file), 1):
            if number == 1 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                raise FastdataError(
                    "the file is one JSON array, and its events cannot be read one by one: make a "
                    "line of each, as `jq -c '.[]' FILE > FILE.jsonl` does"
                )
            if line.strip():
                yield _object(number, line)

    def spread(self) -> Iterator[FileRow]:
        """Rows from all over the rest; see `EventFile`.

        Raises:
            FastdataError: A line is too long.
        """
        for lines in _places(self._file):
            yield from (_object(0, line) for line in lines if line.strip())


class CsvFile:
    """Comma-separated values, or with `;`, `|` or tabs, below a header; see `EventFile`.

    A column without a name, or with one that was there before, gets one with its number.
    """

    format: FileFormat = "csv"
    declared = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: list[str] = []
        self._delimiter = ","
        self._is_line_a_row = True

    def rows(self) -> Iterator[FileRow]:
        """All rows; see `EventFile`.

        Raises:
            FastdataError: A line is too long.
        """
        lines = _lines(self._file)
        first = next(lines, b"").removeprefix(b"\xef\xbb\xbf")
        self._delimiter = max(_DELIMITERS, key=first.decode(errors="replace").count)
        rows = self._cells(chain([first], lines))
        before, header, _ = next(rows, (1, [], ""))
        self._names = _distinct(header)
        for number, cells, problem in rows:
            self._is_line_a_row &= number - before == 1
            before = number
            if cells or problem:
                yield self._row(number, cells, problem)

    def spread(self) -> Iterator[FileRow]:
        """Rows from all over the rest; see `EventFile`.

        None where cells span lines: a row could begin anywhere.

        Raises:
            FastdataError: A line is too long.
        """
        for lines in _places(self._file) if self._is_line_a_row else ():
            for _, cells, problem in self._cells(lines):
                if cells or problem:
                    yield self._row(0, cells, problem)

    def _cells(self, lines: Iterable[bytes]) -> Iterator[tuple[int, list[str], str]]:
        """The number of its last line, and the cells, of each row; or what is wrong with it."""
        texts = (line.decode(errors="replace") for line in lines)
        reader = csv.reader(texts, delimiter=self._delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num, [], f"it is no CSV: {error}"
            else:
                yield reader.line_num, cells, ""

    def _row(self, number: int, cells: list[str], problem: str) -> FileRow:
        if not problem and len(cells) != len(self._names):
            problem = f"it has {len(cells)} cells, and the header has {len(self._names)}"
        if not problem and any("\ufffd" in cell for cell in cells):
            problem = "it is no UTF-8"
        fields = None if problem else dict(zip(self._names, cells, strict=True))
        return FileRow(number, fields, problem)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines from where the file is.

    Raises:
        FastdataError: One is longer than 1 MiB.
    """
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) > _MAX_LINE_BYTES:
            raise FastdataError(f"a line is longer than {_MAX_LINE_BYTES} bytes; is it text?")
        yield line


def _places(file: BinaryIO) -> Iterator[Iterator[bytes]]:
    """Lines of places all over the rest of a file; each must be taken before the next."""
    if not file.seekable():
        return
    begin = file.tell()
    end = file.seek(0, os.SEEK_END)
    edges = [begin + (end - begin) * place // _PLACES for place in range(_PLACES + 1)]
    for start, stop in pairwise(edges):
        file.seek(start)
        if start > begin:
            file.seek(start - 1)
            next(_lines(file), b"")  # what began before
        yield islice(_until(file, stop), _LINES_A_PLACE)


def _until(file: BinaryIO, stop: int) -> Iterator[bytes]:
    """The lines that begin before a place."""
    while file.tell() < stop:
        yield next(_lines(file))


def _object(number: int, line: bytes) -> FileRow:
    try:
        value = json.loads(line.rstrip(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return FileRow(number, None, f"it is no JSON: {error}")
    if not isinstance(value, dict):
        return FileRow(number, None, f"it is no JSON object but {type(value).__name__}")
    return FileRow(number, value)


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number of JSON")


def _distinct(names: list[str]) -> list[str]:
    taken = set(names)
    distinct: list[str] = []
    for number, name in enumerate(names, 1):
        key = name.strip() or f"column_{number}"
        while key in distinct or (key != name.strip() and key in taken):
            key = f"{key}_{number}"
        distinct.append(key)
    return distinct
