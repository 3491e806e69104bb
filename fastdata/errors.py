"""Every error that fastdata raises on purpose.

    FastdataError
    ├── DeclarationError(ValueError)      a source or metric is declared wrongly
    ├── LoadError                         a file of agents cannot be loaded
    ├── SettingsError(ValueError)         a setting is missing or wrong
    ├── UnknownMetricError(LookupError)   no metric of that name is declared
    ├── BadEventError(ValueError)         one event cannot be read: it goes to the dead letters
    ├── MapError                          a map function of the user raised: the source stops
    ├── AgentError                        an agent of the user raised: the process ends
    ├── RecordError(ValueError)           a record does not fit the schema of its topic
    ├── UnknownSchemaError(LookupError)   no schema of that id is in the registry
    ├── SchemaNeededError                 the registry must be asked for a schema first
    ├── RegistryError                     the registry did not answer, or refused; retriable
    ├── IncompatibleSchemaError(ValueError)  events of one schema cannot be read with another
    ├── CorruptStateError(ValueError)     stored bytes do not verify
    ├── QueryError(ValueError)            a query asks for what cannot be answered
    ├── BusyError                         a server has no time for that now; retriable
    ├── LineError(ValueError)             a line that is sent to a topic is too long
    ├── TableError                        the state table or its changelog cannot be written
    ├── BrokerError(ConnectionError)      the broker cannot be reached or refuses
    │   └── MissingTopicError             it has no topic of that name
    ├── StoreError
    │   ├── StoreUnavailableError         the serving store did not answer, or failed; retriable
    │   ├── StoreLostError                it has less than it had: another one, or an old copy
    │   ├── SpanConflictError             another run moved the pointer first
    │   └── CommitUnknownError            nobody knows whether it was done; call again
    ├── ArchiveError
    │   ├── ArchiveUnavailableError       the object store did not answer, or failed; retriable
    │   ├── ArchiveRefusedError           wrong key, no permission, no such bucket
    │   ├── ArchiveHoleError              events are missing between two objects
    │   └── ArchiveConflictError          an object of that name holds other events
    ├── EpochError                        a topic is another log than before
    ├── ReplayError                       a replay cannot be planned or resumed
    ├── DeliveryError                     an event of an alert was not taken; retriable
    ├── VerifyError                       a plain recount cannot be made
    └── ExportError(ValueError)           a flat table cannot be made or kept up to date

The message says what happened, with the values, and then what to do.
`retriable` tells whether the same call may succeed later. `mask_url` takes out of a text what no
message may show, and `did_you_mean` gives advice about a name that nothing has.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

__all__ = [
    "AgentError",
    "ArchiveConflictError",
    "ArchiveError",
    "ArchiveHoleError",
    "ArchiveRefusedError",
    "ArchiveUnavailableError",
    "BadEventError",
    "BrokerError",
    "BusyError",
    "CommitUnknownError",
    "CorruptStateError",
    "DeclarationError",
    "DeliveryError",
    "EpochError",
    "ExportError",
    "FastdataError",
    "IncompatibleSchemaError",
    "LineError",
    "LoadError",
    "MapError",
    "MissingTopicError",
    "QueryError",
    "RecordError",
    "RegistryError",
    "ReplayError",
    "SchemaNeededError",
    "SettingsError",
    "SpanConflictError",
    "StoreError",
    "StoreLostError",
    "StoreUnavailableError",
    "TableError",
    "UnknownMetricError",
    "UnknownSchemaError",
    "VerifyError",
    "did_you_mean",
    "is_outage",
    "mask_url",
    "said_of",
]

# But for the words of our own examples. A password may hold what should have been escaped.
_USER_INFO = re.compile(r"(?<=://)(?!user:password@)(?:[^/\s]+|[^/@:\s]+:\S+)@")
_SECRET_QUERY = re.compile(r"(?i)\b([\w-]*(?:password|secret|token|key)[\w-]*)=[^&\s]+")


def mask_url(text: str) -> str:
    """The text, with `***` for user, password and secret parameters of the URLs in it."""
    return _SECRET_QUERY.sub(r"\1=***", _USER_INFO.sub("***@", text))


def said_of(error: BaseException) -> str:
    """What people are told of an error; of one of the system its file, without its number."""
    if isinstance(error, FastdataError) or not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{error.filename} cannot be used: {error.strerror}; give another path"


def did_you_mean(word: str, names: Iterable[str], advice: str = "", *, cutoff: float = 0.6) -> str:
    """Advice about a name that nothing has, and before it the nearest of those that there are.

        did_you_mean("dely", ["delay", "n"], "there are: delay, n")
        # did you mean 'delay'? There are: delay, n

    Large and small letters are the same.

    Args:
        cutoff: How much of a name is the same at least, from 0 to 1.
    """
    lowered = {name.lower(): name for name in names}
    near = get_close_matches(word.lower(), lowered, n=1, cutoff=cutoff)
    if not near:
        return advice
    return f"did you mean {lowered[near[0]]!r}? {advice[:1].upper()}{advice[1:]}".rstrip()


class FastdataError(Exception):
    """The root of all errors of fastdata."""

    retriable: ClassVar[bool] = False


class DeclarationError(FastdataError, ValueError):
    """A source, measure or metric is declared wrongly; found when the file is loaded."""


class LoadError(FastdataError):
    """A file of agents cannot be imported."""


class SettingsError(FastdataError, ValueError):
    """A setting is missing or has a wrong value."""


class UnknownMetricError(FastdataError, LookupError):
    """No metric of that name is declared."""


class BadEventError(FastdataError, ValueError):
    """One event cannot be read, or has a key that is too long for a metric.

    Attributes:
        stage: `decode`, `time`, `map` or `key`.
        reason: A short fixed word, such as `malformed`; such events are counted by it.
        detail: What was wrong, for people; may be empty.
        time: Of an event that has all that the archive asks of one, ms UTC; None of others.
    """

    def __init__(
        self, stage: str, reason: str, detail: str = "", *, time: int | None = None
    ) -> None:
        super().__init__(f"{stage}: {reason}" + (f" ({detail})" if detail else ""))
        self.time = time
        self.stage = stage
        self.reason = reason
        self.detail = detail


class LineError(FastdataError, ValueError):
    """A line is not sent: it is too long to be text, or does not fit the source."""


class MapError(FastdataError):
    """A map function raised. It is a bug, not a bad event, unless the source says otherwise."""


class AgentError(FastdataError):
    """The function of an agent raised, or returned; its event was not committed."""


class RecordError(FastdataError, ValueError):
    """A record does not fit the schema of the topic that it is for; it was not sent."""


class UnknownSchemaError(FastdataError, LookupError):
    """The registry has no schema of that id."""


class SchemaNeededError(FastdataError):
    """The registry has to be asked for a schema before an event can be read.

    Attributes:
        schema_id: As on the wire.
    """

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"the schema {schema_id} has not been fetched yet")
        self.schema_id = schema_id


class RegistryError(FastdataError):
    """The schema registry did not answer, or refused."""

    retriable = True


class IncompatibleSchemaError(FastdataError, ValueError):
    """Events of one schema cannot be read with the other; nothing was registered."""


class CorruptStateError(FastdataError, ValueError):
    """Stored bytes do not verify; they were not given to any parser."""


class QueryError(FastdataError, ValueError):
    """A query asks for what cannot be answered."""


class BusyError(FastdataError):
    """A server has too much to do, or would have for too long."""

    retriable = True


class TableError(FastdataError):
    """The state table or its changelog could not be written; nothing was committed."""


class BrokerError(FastdataError, ConnectionError):
    """The broker cannot be reached, or refuses."""

    retriable = True


class MissingTopicError(BrokerError):
    """A broker has no topic of that name; for a consumer of several, the others go on."""

    retriable = False

    def __init__(self, topic: str, servers: str) -> None:
        super().__init__(
            f"there is no topic {topic!r} at {servers}: create those of all declared sources with "
            "`fastdata topics create`"
        )


class StoreError(FastdataError):
    """The root of what a serving store raises."""


class StoreUnavailableError(StoreError):
    """The store did not answer, or failed; nothing that readers see was changed."""

    retriable = True


class StoreLostError(StoreError):
    """The store has not what it had: it is another one, or an earlier state of it.

    Nothing that readers see claims too much: the next start of a worker writes all again.
    """


class SpanConflictError(StoreError):
    """Another run moved the pointer of a span first; nothing that readers see was changed."""


class CommitUnknownError(StoreError):
    """The outcome is not known. The operation is idempotent: call again."""

    retriable = True


class ArchiveError(FastdataError):
    """The root of what the archive raises."""


class ArchiveUnavailableError(ArchiveError):
    """The object store did not answer, or failed; the same call may succeed later."""

    retriable = True


class ArchiveRefusedError(ArchiveError):
    """The object store will not do it until something is set right: a key, a right, a bucket."""


class ArchiveHoleError(ArchiveError):
    """Events are missing between two entries of a manifest, or were never archived."""


class ArchiveConflictError(ArchiveError):
    """An object of that name exists and holds other events; nothing was overwritten."""


class EpochError(FastdataError):
    """A topic is not the log that it was: another cluster, or made again; nothing was counted."""


class ReplayError(FastdataError):
    """A replay cannot be planned, run or resumed."""


class DeliveryError(FastdataError):
    """Whoever gets the events of an alert did not take one; it is sent again.

    Attributes:
        is_refused: Whether it was this event alone that was refused.
    """

    retriable = True

    def __init__(self, message: str, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused


class VerifyError(FastdataError):
    """A plain recount of the archive cannot be made, or the range is empty."""


class ExportError(FastdataError, ValueError):
    """A flat table cannot be made or kept up to date; what readers see of it is as it was."""


def is_outage(error: BaseException | None) -> bool:
    """Whether something was away that may come back: the broker, the store, the registry."""
    while error is not None:
        if isinstance(error, FastdataError) and error.retriable:
            return True
        error = error.__cause__
    return False
