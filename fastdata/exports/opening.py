"""From a URL to the place of a flat table."""

import re
from typing import TYPE_CHECKING

from fastdata.errors import ExportError, SettingsError

if TYPE_CHECKING:
    from fastdata.exports.table import FlatTable
    from fastdata.exports.target import Target

__all__ = ["open_target"]

_SQL = ("sqlite", "postgres")
_NO_TABLES = ("memory:", "cassandra:")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILES = (".csv", ".tsv", ".txt", ".json", ".xlsx", ".db", ".sqlite")
_PLACES = (
    "postgresql://user:password@host/database, sqlite:///flat.db, s3://bucket/flat or a folder for "
    "Parquet"
)
_NO_PLACE = f"which is no place for a flat table; give it as in {_PLACES}"


def open_target(flat: "FlatTable", url: str) -> "Target":
    """The place of a table, to be entered with `async with`.

    Args:
        flat: The table.
        url: `sqlite:///…` or `postgresql://…`; or for Parquet a folder, `file:///…` or `s3://…`.

    Raises:
        ExportError: A flat table cannot be there.
        SettingsError: The URL is not understood.
        StoreUnavailableError: The folder of the SQLite file does not exist.
    """
    if not url or url.startswith(_NO_TABLES):
        raise ExportError(
            f"{url.partition(':')[0] or 'this'} is no place for a flat table: say with --to where, "
            f"as in {_PLACES}"
        )
    scheme = _SCHEME.match(url)
    if scheme is not None and not url.startswith((*_SQL, "file:", "s3:")):
        raise ExportError(f"--to is {scheme[0]}…, {_NO_PLACE}")
    if (name := url.rpartition("/")[2]).lower().endswith(_FILES) and not url.startswith(_SQL):
        raise ExportError(
            f"--to names the file {name!r}, {_NO_PLACE}. For one file of an answer: fastdata query "
            f"{flat.metric.name} --format csv --output {name}"
        )
    # SQLAlchemy and the object store are slow to import.
    if url.startswith(_SQL):
        from fastdata.exports.sql import SqlTarget
        from fastdata.store.opening import open_dialect

        return SqlTarget(flat, open_dialect(url, setting="--to"))
    from fastdata.archive.storage import open_archive_storage
    from fastdata.exports.parquet import ParquetTarget

    try:
        return ParquetTarget(flat, open_archive_storage(url, called="the export"))
    except SettingsError as error:
        raise SettingsError(f"--to is no place for Parquet files: {error}") from error
