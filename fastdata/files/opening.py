"""Which format a file has."""

from typing import Any, BinaryIO, cast

from fastdata.errors import FastdataError
from fastdata.files.rows import EventFile, FileFormat

__all__ = ["format_of", "open_events"]

_AVRO, _PARQUET = b"Obj\x01", b"PAR1"


def open_events(file: BinaryIO, format: FileFormat | None = None) -> EventFile:
    """The rows of an open file.

    Args:
        file: That can be peeked into, from its first byte on.
        format: None for what its first bytes look like.

    Raises:
        FastdataError: It is empty, or not in the format.
    """
    from fastdata.files.containers import AvroFile, ParquetFile
    from fastdata.files.lines import CsvFile, JsonFile

    match format or format_of(file):
        case "avro":
            return AvroFile(file)
        case "parquet":
            return ParquetFile(file)
        case "csv":
            return CsvFile(file)
    return JsonFile(file)


def format_of(file: BinaryIO) -> FileFormat:
    """The format of a file by its first bytes, which stay where they are; CSV if it is no other.

    Raises:
        FastdataError: It is empty, or compressed.
    """
    head = cast("Any", file).peek(64)
    if not head:
        raise FastdataError("there is nothing in it")
    if head.startswith(b"\x1f\x8b"):
        raise FastdataError("it is compressed: unpack it, or read it from a pipe by zcat")
    if head.startswith(_AVRO):
        return "avro"
    if head.startswith(_PARQUET):
        return "parquet"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if text[:1] in (b"{", b"[") else "csv"
