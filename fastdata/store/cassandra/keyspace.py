"""Finds a keyspace with our tables, or makes one. Blocks: runs in a thread of its own."""

from dataclasses import dataclass, fields
from typing import Any

import stamina
from cassandra import InvalidRequest

from fastdata.errors import SettingsError, StoreError, StoreUnavailableError
from fastdata.store.cassandra.options import CassandraOptions
from fastdata.store.cassandra.schema import BUCKETS, LAYOUT, ONLY, Statements, of_keyspace, tables
from fastdata.store.cassandra.session import DRIVER_ERRORS, connect, explain

__all__ = ["Keyspace", "open_keyspace"]

# Others may change the schema now, too, and nodes need a moment to agree: a node that is creating a
# table may refuse to read it, or to prepare a statement for it, with an error of its own.
_patiently = stamina.RetryingCaller(
    attempts=5, timeout=None, wait_initial=0.5, wait_max=0.5, wait_jitter=0.0
).on(DRIVER_ERRORS)


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A keyspace that is ready for use.

    Attributes:
        session: The driver's; its cluster is to be shut down.
        buckets: Over how many partitions partials are spread.
    """

    session: Any
    statements: Statements
    buckets: int


def open_keyspace(options: CassandraOptions, create: bool) -> Keyspace:
    """Connect, and make the keyspace and its tables where there are none; processes may race.

    Raises:
        StoreUnavailableError: No node can be reached, or there is no store and none shall be made.
        SettingsError: The password, TLS or an option is wrong.
        StoreError: The tables are of another version.
    """
    session = connect(options)
    try:
        if not _has_keyspace(session, options):
            _refuse_unless(create, options)
            _create_keyspace(session, options)
        buckets = _find_layout(session, options)
        if buckets is None:
            _refuse_unless(create, options)
            buckets = _create_tables(session, options)
        _check_buckets(options, buckets)
        return Keyspace(session, _prepare(session, options.keyspace), buckets)
    except DRIVER_ERRORS as error:
        session.cluster.shutdown()
        raise explain(error, options) from error
    except BaseException:
        session.cluster.shutdown()
        raise


def _refuse_unless(create: bool, options: CassandraOptions) -> None:
    if not create:
        raise StoreUnavailableError(
            f"{options.shown} holds no store yet: start a worker or a replay first, or check"
            " FASTDATA_STORE"
        )


def _has_keyspace(session: Any, options: CassandraOptions) -> bool:
    query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
    return session.execute(query, (options.keyspace,)).one() is not None


def _create_keyspace(session: Any, options: CassandraOptions) -> None:
    hosts = session.cluster.metadata.all_hosts()
    nodes = [host for host in hosts if options.dc in ("", host.datacenter)]
    if len(nodes) < options.replication:
        raise SettingsError(
            f"{options.shown} cannot be made with {options.replication} copies, the cluster has"
            f" {len(nodes)} nodes: start more, or add ?replication=1 for a trial without safety"
        )
    where = options.dc or "replication_factor"
    _patiently(
        session.execute,
        f"CREATE KEYSPACE IF NOT EXISTS {options.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{where}': {options.replication}}}",
    )


def _create_tables(session: Any, options: CassandraOptions) -> int:
    for table in tables(options.keyspace):
        _patiently(session.execute, table)
    layout = f"{options.keyspace}.layout (only, version, buckets)"
    insert = f"INSERT INTO {layout} VALUES (%s, %s, %s) IF NOT EXISTS"  # noqa: S608
    _patiently(session.execute, insert, (ONLY, LAYOUT, options.buckets or BUCKETS))
    buckets = _find_layout(session, options)
    if buckets is None:
        raise StoreUnavailableError(f"{options.shown}: the tables are not there yet; try again")
    return buckets


def _find_layout(session: Any, options: CassandraOptions) -> int | None:
    """The buckets of the store; None where there is none yet."""
    query = (
        "SELECT table_name FROM system_schema.tables"
        " WHERE keyspace_name = %s AND table_name = 'layout'"
    )
    if session.execute(query, (options.keyspace,)).one() is None:
        return None
    query = f"SELECT version, buckets FROM {options.keyspace}.layout WHERE only = %s"  # noqa: S608
    try:
        row = _patiently(session.execute, query, (ONLY,)).one()
    except InvalidRequest:
        return None  # Somebody else is creating it: listed already, and not there yet.
    if row is None:
        return None
    version, buckets = row
    if version != LAYOUT:
        raise StoreError(
            f"{options.shown} has tables of layout {version}, this fastdata needs {LAYOUT}: use the"
            " version of fastdata that wrote them, or start a new keyspace and replay"
        )
    return int(buckets)


def _check_buckets(options: CassandraOptions, buckets: int) -> None:
    if options.buckets not in (None, buckets):
        raise SettingsError(
            f"{options.shown} was made with {buckets} buckets, which cannot change: leave out"
            f" buckets={options.buckets}, or start a new keyspace and replay"
        )


def _prepare(session: Any, keyspace: str) -> Statements:
    statements = Statements()
    for statement in fields(Statements):
        text = of_keyspace(getattr(statements, statement.name), keyspace)
        prepared = _patiently(session.prepare, text)
        prepared.is_idempotent = True
        setattr(statements, statement.name, prepared)
    return statements
