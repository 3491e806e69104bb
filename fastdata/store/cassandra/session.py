"""Cassandra's driver for asyncio: requests, not too many in flight, and errors in our words.

The driver runs its own thread with an event loop of its own (libev). Its callbacks only hand the
result over to asyncio. Its asyncio reactor is not used: it corrupts frames of protocol 5.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from cassandra import ConsistencyLevel, DriverException, RequestValidationException, Unavailable
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    UnresolvableContactPoints,
)
from cassandra.connection import ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement, tuple_factory

from fastdata.errors import (
    CommitUnknownError,
    FastdataError,
    SettingsError,
    StoreError,
    StoreUnavailableError,
)
from fastdata.store.cassandra.options import CassandraOptions
from fastdata.store.pace import Pace

__all__ = ["DRIVER_ERRORS", "Batch", "CqlRow", "Session", "batches", "connect", "explain"]

# The driver tells of each failed attempt with a traceback; we say it once, in one line.
logging.getLogger("cassandra").addHandler(logging.NullHandler())

CqlRow = tuple[Any, ...]
"""The values of a row that was read, or those to bind to a statement."""

DRIVER_ERRORS = (
    DriverException,
    NoHostAvailable,
    UnresolvableContactPoints,
    ConnectionException,
    ErrorMessage,
    OSError,
)
_PROTOCOL = 5
_IN_FLIGHT = 64
_BATCHES_IN_FLIGHT = 16
_BATCH_ROWS = 200
_BATCH_BYTES = 128 << 10


class Batch:
    """Rows of one partition, written together: atomic, and one request.

    Args:
        rows: A prepared statement and its values, each.
    """

    def __init__(self, rows: Iterable[tuple[PreparedStatement, CqlRow]]) -> None:
        self.statement = BatchStatement(BatchType.UNLOGGED)
        self.statement.is_idempotent = True
        self.rows = 0
        for prepared, values in rows:
            self.statement.add(prepared, values)
            self.rows += 1


def batches(prepared: PreparedStatement, rows: Iterable[CqlRow]) -> Iterator[Batch]:
    """Rows of one partition in batches of a size that nodes like.

    Args:
        rows: The values of one statement each.
    """
    batch: list[tuple[PreparedStatement, CqlRow]] = []
    room = _BATCH_BYTES
    for values in rows:
        room -= sum(len(value) for value in values if isinstance(value, bytes | str))
        if batch and (room < 0 or len(batch) == _BATCH_ROWS):
            yield Batch(batch)
            batch, room = [], _BATCH_BYTES
        batch.append((prepared, values))
    if batch:
        yield Batch(batch)


def connect(options: CassandraOptions) -> Any:
    """A session of the driver, connected. Blocks for seconds when nobody answers.

    Raises:
        StoreUnavailableError: No node can be reached.
        SettingsError: They refuse the password, or do not fit the options for TLS.
    """
    consistency = ConsistencyLevel.name_to_value[options.consistency]
    is_local = options.consistency != "QUORUM"
    serial = ConsistencyLevel.LOCAL_SERIAL if is_local else ConsistencyLevel.SERIAL
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(options.dc)),
        consistency_level=consistency,
        serial_consistency_level=serial,
        row_factory=tuple_factory,
    )
    secured = ssl.create_default_context(cafile=options.ca or None) if options.tls else None
    auth = PlainTextAuthProvider(options.user, options.password) if options.user else None
    cluster: Any = None
    try:
        cluster = Cluster(
            options.hosts,
            port=options.hosts[-1][1],
            protocol_version=_PROTOCOL,
            auth_provider=auth,
            ssl_context=secured,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            control_connection_timeout=10.0,
            reconnection_policy=ExponentialReconnectionPolicy(0.25, 1.0),
        )
        session = cluster.connect()
    except DRIVER_ERRORS as error:
        dcs = {host.datacenter for host in cluster.metadata.all_hosts()} if cluster else set()
        if cluster is not None:
            cluster.shutdown()
        raise explain(error, options, dcs) from error
    session.use_client_timestamp = False  # every plain write names its own
    return session


class Session:
    """Requests to one keyspace.

    Args:
        session: Of the driver.
        shown: The place, for messages.
        writes_per_s: Rows a second at most, over all batches; None for no limit.
    """

    def __init__(self, session: Any, shown: str, writes_per_s: float | None = None) -> None:
        self._session = session
        self._shown = shown
        self._pace = Pace(writes_per_s) if writes_per_s else None
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)

    async def read(
        self,
        prepared: PreparedStatement,
        values: CqlRow,
        *,
        serial: bool = False,
        page_rows: int | None = None,
    ) -> list[CqlRow]:
        """All rows of one query.

        Args:
            serial: See every compare-and-set that may have been done, and settle it.
            page_rows: How many rows the nodes send at a time; None: all at once.

        Raises:
            StoreUnavailableError: It was not answered.
            StoreError: It cannot be answered.
        """
        bound = prepared.bind(values)
        bound.fetch_size = page_rows
        if serial:
            profile = self._session.get_execution_profile(EXEC_PROFILE_DEFAULT)
            bound.consistency_level = profile.serial_consistency_level
        try:
            return await self._rows(bound)
        except DRIVER_ERRORS as error:
            raise self._failure(error, "read", is_write=False) from error

    async def compare_and_set(self, rows: Iterable[tuple[PreparedStatement, CqlRow]]) -> bool:
        """Conditional writes to one partition: all are done, or none; whether they were.

        Raises:
            CommitUnknownError: Nobody knows.
            StoreUnavailableError: They were not done.
        """
        try:
            answer = await self._rows(Batch(rows).statement)
        except DRIVER_ERRORS as error:
            raise self._failure(error, "compare and set", is_write=True) from error
        return bool(answer[0][0])

    async def write(self, batches: Iterable[Batch], pace: Pace | None = None) -> None:
        """Write all batches, some at a time, no faster than allowed; idempotent.

        Args:
            pace: Of these alone, beside that of the session.

        Raises:
            CommitUnknownError: Some may not be written.
            StoreUnavailableError: Some are not written.
        """
        waiting = iter(batches)
        paces = [limit for limit in (pace, self._pace) if limit]
        workers = [
            asyncio.create_task(self._work(waiting, paces)) for _ in range(_BATCHES_IN_FLIGHT)
        ]
        try:
            await asyncio.gather(*workers)
        except DRIVER_ERRORS as error:
            raise self._failure(error, "write", is_write=True) from error
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, batches: Iterable[Batch], paces: Sequence[Pace]) -> None:
        for batch in batches:
            for pace in paces:
                await pace.wait(batch.rows)
            await self._rows(batch.statement)

    async def _rows(self, statement: Any) -> list[CqlRow]:
        async with self._in_flight:
            loop = asyncio.get_running_loop()
            return await _Pages(self._session.execute_async(statement), loop).rows()

    def _failure(self, error: Exception, doing: str, *, is_write: bool) -> StoreError:
        message = f"cannot {doing} in {self._shown}: {_short(error)}"
        if isinstance(error, RequestValidationException):
            return StoreError(f"{message}; the keyspace or its rights are not as they should be")
        if is_write and not _is_surely_not_done(error):
            return CommitUnknownError(f"{message}; whether it is done is unknown, so do it again")
        return StoreUnavailableError(message)


class _Pages:
    """The answer to one request, page by page, from the driver's thread to asyncio."""

    def __init__(self, response: ResponseFuture, loop: asyncio.AbstractEventLoop) -> None:
        self._response = response
        self._loop = loop
        self._page: asyncio.Future[Sequence[CqlRow]] = loop.create_future()
        response.add_callbacks(
            lambda rows: self._hand_over(rows or (), None), lambda error: self._hand_over((), error)
        )

    async def rows(self) -> list[CqlRow]:
        """The rows of all pages."""
        rows = list(await self._page)
        while self._response.has_more_pages:
            self._page = self._loop.create_future()
            self._response.start_fetching_next_page()
            rows += await self._page
        return rows

    def _hand_over(self, rows: Sequence[CqlRow], error: Exception | None) -> None:
        with suppress(RuntimeError):  # The loop was closed by who waited for the answer.
            self._loop.call_soon_threadsafe(self._give, rows, error)

    def _give(self, rows: Sequence[CqlRow], error: Exception | None) -> None:
        if self._page.done():  # cancelled by the caller
            return
        if error is not None:
            self._page.set_exception(error)
        else:
            self._page.set_result(rows)


def _is_surely_not_done(error: Exception) -> bool:
    """Whether no node has taken the request."""
    if isinstance(error, NoHostAvailable):
        kinds = {type(reason) for reason in _errors_of(error)}
        return kinds <= {ConnectionException, NoConnectionsAvailable}
    return isinstance(error, Unavailable | UnresolvableContactPoints)


def _errors_of(error: Exception) -> list[Any]:
    errors = getattr(error, "errors", None) or {}
    return list(errors.values()) if isinstance(errors, dict) else list(errors)


def _short(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return (
            f"{error.required_replicas} replicas are needed and {error.alive_replicas} are alive;"
            " start the nodes that are down, or make the keyspace with a smaller ?replication="
        )
    if not isinstance(error, NoHostAvailable):
        return str(error)
    reasons = "; ".join(sorted({str(reason) for reason in _errors_of(error)}))
    return f"no node can be reached ({reasons})" if reasons else "no node can be reached"


# What a text in the driver's errors means, and what to do; the first that fits is said.
_REASONS = (
    ("hostname mismatch", "its certificate is for another host name: use the name that it is for"),
    ("ip address mismatch", "its certificate is for another address: use the name that it is for"),
    (
        "certificate_verify_failed",
        "its certificate is signed by nobody that is trusted: name the authority with &ca=file.pem",
    ),
    ("requires authentication", "it asks for a password: write user:password@ before the host"),
    ("bad credentials", "it refuses the user name or the password"),
    ("username and/or password", "it refuses the user name or the password"),
    ("wrong_version_number", "its port does not speak TLS: leave out tls=true"),
    ("record layer failure", "its port does not speak TLS: leave out tls=true"),
    ("unexpected_eof", "its port does not speak TLS: leave out tls=true"),
)
_WANTS_TLS = "it closed the connection at once: if it wants TLS, add ?tls=true"


def explain(error: Exception, options: CassandraOptions, dcs: Iterable[str] = ()) -> FastdataError:
    """What we raise when a cluster cannot be connected to."""
    where = f"cannot open {options.shown}:"
    centers = sorted({dc for dc in dcs if dc})
    if options.dc and centers and options.dc not in centers:
        return SettingsError(
            f"{where} there is no data center {options.dc!r}, only {centers}: mend dc="
        )
    text = " ".join(map(str, [error, *_errors_of(error)])).lower()
    for words, reason in _REASONS:
        if words in text:
            return SettingsError(f"{where} {reason}; check FASTDATA_STORE")
    if isinstance(error, UnresolvableContactPoints):
        return StoreUnavailableError(f"{where} no host of that name is known")
    if "refused" in text:
        return StoreUnavailableError(
            f"{where} nobody listens there; is Cassandra up, is this its native port?"
        )
    if "reset by peer" in text or "shutdown" in text or "closed" in text:
        return StoreUnavailableError(f"{where} {_WANTS_TLS} ({_short(error)})")
    return StoreUnavailableError(f"{where} {_short(error)}")
