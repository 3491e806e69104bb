"""From a URL to the place of a flat table."""

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastdata.errors import ExportError, SettingsError

if TYPE_CHECKING:
    from fastdata.exports.table import FlatTable
    from fastdata.exports.target import Target
    from fastdata.store.sql.dialect import Database

__all__ = ["check_name", "is_topic", "open_target"]

_TOPIC = "kafka://"

_MYSQL = ("mysql:", "mariadb:")
_SQL = ("sqlite", "postgres", "duckdb:", *_MYSQL)
_CLICKHOUSE, _OPENSEARCH = "clickhouse:", "opensearch:"
_NO_TABLES = ("memory:", "cassandra:")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,240}")
_DUCKDB_FILE = re.compile(r"duckdb:///((?!:memory:)[^?]*[^?/])")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILES = (".csv", ".tsv", ".txt", ".json", ".xlsx", ".db", ".sqlite", ".duckdb")
_PLACES = (
    "postgresql://user:password@host/database, sqlite:///flat.db, "
    "mysql://user:password@host/database, clickhouse://user:password@host/database, "
    "opensearch://user:password@host, duckdb:///flat.duckdb, kafka://topic, s3://bucket/flat or a "
    "folder for Parquet"
)
_NO_PLACE = f"which is no place for a flat table; give it as in {_PLACES}"


def is_topic(url: str | None) -> bool:
    """Whether a place is a topic, whose rows always have their bounds."""
    return url is not None and url.startswith(_TOPIC)


def check_name(url: str | None, table: str | None) -> None:
    """Raise where the table of a topic is given a name.

    Raises:
        ExportError: It is.
    """
    if is_topic(url) and table is not None:
        raise ExportError(
            f"--table names {table!r}, and {url} is a topic, which holds one table of no other"
            " name: leave --table out, and name another topic with --to"
        )


def open_target(flat: "FlatTable", url: str, *, only_exact: bool = False) -> "Target":
    """The place of a table, to be entered with `async with`.

    Args:
        flat: The table.
        url: `sqlite:///…`, `duckdb:///…`, `postgresql://…`, `mysql://…`, `clickhouse://…`,
            `opensearch://…` or `kafka://topic`; or for Parquet a folder, `file:///…` or `s3://…`.
        only_exact: Only for a topic: a row is sent when it is exact.

    Raises:
        ExportError: A flat table cannot be there.
        SettingsError: The URL is not understood, or a setting of the broker or registry is wrong.
        StoreUnavailableError: The folder of the SQLite file does not exist.
    """
    if not url or url.startswith(_NO_TABLES):
        raise ExportError(
            f"{url.partition(':')[0] or 'this'} is no place for a flat table: say with --to where, "
            f"as in {_PLACES}"
        )
    if url.startswith(_TOPIC):
        return _topic(flat, url.removeprefix(_TOPIC), only_exact)
    if only_exact:
        raise ExportError("only a topic can have exact rows alone: --only-exact needs a kafka://…")
    scheme = _SCHEME.match(url)
    if scheme is not None and not url.startswith((*_SQL, _CLICKHOUSE, _OPENSEARCH, "file:", "s3:")):
        raise ExportError(f"--to is {scheme[0]}…, {_NO_PLACE}")
    if (name := url.rpartition("/")[2]).lower().endswith(_FILES) and not url.startswith(_SQL):
        raise ExportError(
            f"--to names the file {name!r}, {_NO_PLACE}. For one file of an answer: fastdata query "
            f"{flat.metric.name} --format csv --output {name}"
        )
    # SQLAlchemy and the object store are slow to import.
    if url.startswith(_SQL):
        from fastdata.exports.sql import SqlTarget

        return SqlTarget(flat, _database(url))
    if url.startswith(_CLICKHOUSE):
        return _clickhouse(flat, url)
    if url.startswith(_OPENSEARCH):
        return _opensearch(flat, url)
    from fastdata.archive.storage import open_archive_storage
    from fastdata.exports.parquet import ParquetTarget

    try:
        return ParquetTarget(flat, open_archive_storage(url, called="the export"))
    except SettingsError as error:
        raise SettingsError(f"--to is no place for Parquet files: {error}") from error


def _database(url: str) -> "Database":
    if url.startswith("duckdb:"):
        return _duckdb(url)
    if url.startswith(_MYSQL):
        from fastdata.exports.mysql import MySql

        _check_installed("aiomysql", "MySQL", "mysql")
        return MySql(url)
    from fastdata.store.opening import open_dialect

    return open_dialect(url, setting="--to")


def _check_installed(module: str, called: str, extra: str) -> None:
    if find_spec(module) is None:
        raise SettingsError(
            f"--to names {called}, whose driver is not installed: pip install"
            f" 'fastdata-lambda[{extra}]'"
        )


def _duckdb(url: str) -> "Database":
    _check_installed("duckdb", "DuckDB", "duckdb")
    from fastdata.exports.duckdb_file import DuckDb

    match = _DUCKDB_FILE.fullmatch(url)
    if match is None:
        raise SettingsError(
            "--to names no file: write duckdb:///flat.duckdb; four slashes begin an absolute path"
        )
    return DuckDb(match[1])


def _clickhouse(flat: "FlatTable", url: str) -> "Target":
    _check_installed("clickhouse_connect", "ClickHouse", "clickhouse")
    from fastdata.exports.clickhouse import ClickHouseTarget
    from fastdata.exports.clickhouse_server import ClickHouse

    return ClickHouseTarget(flat, ClickHouse(url))


def _opensearch(flat: "FlatTable", url: str) -> "Target":
    _check_installed("opensearchpy", "OpenSearch", "opensearch")
    from fastdata.exports.opensearch import OpenSearchTarget
    from fastdata.exports.opensearch_server import OpenSearchServer

    return OpenSearchTarget(flat, OpenSearchServer(url))


def _topic(flat: "FlatTable", name: str, only_exact: bool) -> "Target":
    if not _TOPIC_NAME.fullmatch(name):
        raise ExportError(
            f"--to is {_TOPIC}{name}: after {_TOPIC} comes the name of a topic, of letters, digits,"
            " ., _ and -; its broker is FASTDATA_BROKER"
        )
    from fastdata.events.registry import open_registry
    from fastdata.exports.topic import TopicTarget
    from fastdata.kafka.connection import Broker
    from fastdata.settings import Settings

    settings = Settings.load()
    registry = open_registry(settings.registry, settings.registry_ca)
    return TopicTarget(flat, name, Broker.of(settings), registry, only_exact=only_exact)
