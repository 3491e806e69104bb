"""A schema registry that speaks Confluent's protocol, over HTTP."""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry import Schema as Registered

from fastdata.errors import (
    DeclarationError,
    IncompatibleSchemaError,
    RegistryError,
    SchemaNeededError,
    SettingsError,
    UnknownSchemaError,
    mask_url,
)
from fastdata.events.evolution import differences
from fastdata.events.schema import Schema

__all__ = ["UrlRegistry", "Version"]

# Strict, as what is misread of a password would be shown as host or port.
_URL = re.compile(
    r"https?://(?:[^/?#@\s]+@)?(?:[^/?#@:\s\[\]]+|\[[\da-fA-F:.]+\])(?::\d+)?(?:/[^@\s]*)?"
)
_TIMEOUT_S = 5.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
_LOG_EVERY_S = 10.0
# A replica of the registry may be behind the one where the producer has registered.
_PATIENCE_S = 3.0
_UNKNOWN_FOR_S = 30.0
_MAX_UNKNOWN = 10_000
_NO_SCHEMA, _NO_SUBJECT, _NO_VERSION, _NO_LEVEL = _CODES = 40403, 40401, 40402, 40408
_REFUSED, _RETRIABLE = (401, 403), (408, 429)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """One schema of a subject."""

    subject: str
    version: int
    id: int
    schema: Schema


@dataclass(slots=True)
class _Missing:
    since: float
    until: float = 0.0  # known to be unknown


class UrlRegistry:
    """Schemas of a registry, fetched by id once and kept: a registry never changes one.

    An id that the registry does not have is asked for again for 3 s, since a replica may be
    behind; then it is unknown for 30 s. One event loop only.

    Args:
        url: `http(s)://[user:password@]host[:port]/path`.
        ca: File of the authority that signed its certificate; the usual ones when empty.
        clock: Monotonic, in seconds.

    Raises:
        SettingsError: It is no such URL, or the authority's file cannot be read.
    """

    def __init__(
        self, url: str, ca: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not all(_URL.fullmatch(one_url.strip()) for one_url in url.split(",")):
            raise SettingsError(
                "FASTDATA_REGISTRY is no URL that is understood: write"
                " https://user:password@host:port/path, with %40 for @, %2F for / and the like in a"
                " password"
            )
        if ca and not Path(ca).is_file():
            raise SettingsError(f"FASTDATA_REGISTRY_CA: there is no file {ca}")
        self.url = mask_url(url)
        # Without TLS, reading all authorities of the world for each question is left out.
        authorities = {"ssl.ca.location": ca or False} if ca or url.startswith("http:") else {}
        self._conf = {"url": url, "timeout": _TIMEOUT_S, "max.retries": 0, **authorities}
        self._clock = clock
        self._known: dict[int, Schema | str] = {}  # or why it cannot be used
        self._missing: dict[int, _Missing] = {}
        self._hurried_until = 0.0
        self._failures = 0
        self._said_at = -_LOG_EVERY_S

    def get(self, schema_id: int) -> Schema:
        """The schema of that id, if it has been fetched; never blocks.

        Raises:
            SchemaNeededError: It has not been fetched yet: call `learn` until it is.
            UnknownSchemaError: The registry does not have it.
            DeclarationError: It is no Avro record, or one that is not supported.
        """
        schema_or_reason = self._known.get(schema_id)
        if isinstance(schema_or_reason, Schema):
            return schema_or_reason
        if schema_or_reason is not None:
            raise DeclarationError(schema_or_reason)
        missing = self._missing.get(schema_id)
        if missing is not None and self._clock() < missing.until:
            raise UnknownSchemaError(f"the registry {self.url} has no schema {schema_id}")
        raise SchemaNeededError(schema_id)

    async def learn(self, schema_id: int) -> None:
        """Ask once for a schema; see `Registry.learn`."""
        try:
            async with self._client() as client:
                registered = await client.get_schema(schema_id)
        except RegistryError as error:
            if _code(error) == _NO_SCHEMA:
                await self._miss(schema_id)
            else:
                await self._wait(schema_id, error)
            return
        self._missing.pop(schema_id, None)
        try:
            self._known[schema_id] = _parse(registered, f"schema {schema_id} of {self.url}")
        except DeclarationError as error:
            self._known[schema_id] = str(error)
        if self._failures:
            logger.warning("the schema registry %s answers again", self.url)
        self._failures, self._said_at = 0, -_LOG_EVERY_S

    async def _miss(self, schema_id: int) -> None:
        now = self._clock()
        missing = self._missing.setdefault(schema_id, _Missing(now))
        # Who has been patient once is not for the next 30 s: rubbish must not hold up a source.
        if now < self._hurried_until or now - missing.since >= _PATIENCE_S:
            missing.until = self._hurried_until = now + _UNKNOWN_FOR_S
            if len(self._missing) > _MAX_UNKNOWN:
                self._missing = {i: m for i, m in self._missing.items() if now < m.until}
                self._missing.pop(next(iter(self._missing)))
        else:
            await asyncio.sleep(_PAUSES_S[1])

    async def _wait(self, schema_id: int, error: RegistryError) -> None:
        if self._clock() - self._said_at >= _LOG_EVERY_S:
            self._said_at = self._clock()
            logger.warning("waiting for schema %d; nothing is lost: %s", schema_id, error)
        await asyncio.sleep(_PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)])
        self._failures += 1

    async def check(self) -> str | None:
        """Ask whether the registry lets us in. That it does not answer is only logged.

        Returns:
            Why it does not answer; None when it does.

        Raises:
            SettingsError: It refuses, its certificate is not trusted, or it is no registry.
        """
        try:
            async with self._client() as client:
                await client.get_schema_types()
        except RegistryError as error:
            cause = error.__cause__
            status = cause.http_status_code if isinstance(cause, SchemaRegistryError) else 0
            is_final = 300 <= status < 500 and status not in _RETRIABLE
            if is_final or _is_untrusted(cause):
                raise SettingsError(f"{error}; check FASTDATA_REGISTRY") from error
            logger.warning("%s; going on, and waiting for it when a schema is needed", error)
            return str(error)
        return None

    # --- for producers ------------------------------------------------------------------------

    async def versions(self, subject: str, *, newest: bool = False) -> list[Version]:
        """The versions of a subject, oldest first; none when there is no such subject.

        Args:
            subject: Its name, as in "orders-value".
            newest: Only the last one.

        Raises:
            RegistryError: The registry did not answer, or refused.
            DeclarationError: A version is no Avro record, or one that is not supported.
        """
        try:
            async with self._client() as client:
                if newest:
                    answers = [await client.get_latest_version(subject)]
                else:
                    numbers = await client.get_versions(subject)
                    answers = [await client.get_version(subject, number) for number in numbers]
        except RegistryError as error:
            if _code(error) in (_NO_SUBJECT, _NO_VERSION):
                return []
            raise
        return [
            Version(
                subject,
                answer.version or 0,
                answer.schema_id or 0,
                _parse(answer.schema, f"version {answer.version} of {subject} at {self.url}"),
            )
            for answer in answers
        ]

    async def register(self, subject: str, schema: Schema) -> int:
        """Register a schema, and have the registry refuse incompatible ones from now on.

        Idempotent. The subject's compatibility becomes BACKWARD when it is not set, or NONE.

        Returns:
            The id to write on the wire; see `encode`.

        Raises:
            IncompatibleSchemaError: Events of the newest version could not be read with it.
            RegistryError: The registry did not answer, or refused.
            DeclarationError: The newest version is no Avro record.
        """
        newest = await self.versions(subject, newest=True)
        if reasons := [reason for last in newest for reason in differences(last.schema, schema)]:
            raise IncompatibleSchemaError(
                f"{schema.name} cannot read the events of version {newest[0].version} of "
                f"{subject}: {'; '.join(reasons)}; give new fields a default and keep the types "
                "of the others, or use another topic"
            )
        async with self._client() as client:
            if newest:
                await self._guard(client, subject)
            try:
                schema_id = await client.register_schema(
                    subject, Registered(schema.canonical, "AVRO")
                )
            except SchemaRegistryError as error:
                if error.http_status_code != 409:
                    raise
                raise IncompatibleSchemaError(
                    f"the registry {self.url} refuses {schema.name} for {subject}: "
                    f"{error.error_message}"
                ) from error
            if not newest:
                await self._guard(client, subject)
        return schema_id

    @staticmethod
    async def _guard(client: AsyncSchemaRegistryClient, subject: str) -> None:
        """Have the registry check what is registered; Apicurio does not unless it is told to."""
        try:
            level = await client.get_compatibility(subject)
        except SchemaRegistryError as error:
            if error.error_code not in (_NO_LEVEL, _NO_SUBJECT):
                raise
            level = "NONE"
        if level == "NONE":
            await client.set_compatibility(subject, "BACKWARD")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncSchemaRegistryClient]:
        try:
            async with (
                AsyncSchemaRegistryClient(self._conf) as client,
                asyncio.timeout(2 * _TIMEOUT_S),
            ):
                yield client
        except (DeclarationError, IncompatibleSchemaError):
            raise
        except Exception as error:  # the client has no root for what it raises
            raise RegistryError(self._message(error)) from error

    def _message(self, error: BaseException) -> str:
        if isinstance(error, SchemaRegistryError):
            if error.http_status_code in _REFUSED:
                return (
                    f"the schema registry {self.url} refuses the user or password "
                    f"(HTTP {error.http_status_code})"
                )
            hint = "" if error.error_code in _CODES else "; is the path of the URL right?"
            reason = mask_url(error.error_message or "no reason")
            status = f"HTTP {error.http_status_code}, {reason}"
            return f"the schema registry {self.url} answers: {status}{hint}"
        if _is_untrusted(error):
            return (
                f"TLS with the schema registry {self.url} fails ({error}); FASTDATA_REGISTRY_CA "
                "names the file of the authority that signed its certificate"
            )
        reason = mask_url(str(error)) or type(error).__name__
        return f"the schema registry {self.url} does not answer ({reason})"


def _code(error: RegistryError) -> int:
    cause = error.__cause__
    return cause.error_code if isinstance(cause, SchemaRegistryError) else 0


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _parse(registered: Registered, place: str) -> Schema:
    if registered.schema_type not in (None, "AVRO"):
        raise DeclarationError(f"{place} is {registered.schema_type}; only Avro is supported")
    if registered.references:
        raise DeclarationError(f"{place} refers to other schemas; that is not supported")
    return Schema.parse(registered.schema_str or "", place)
