"""A source: a topic, its schema, and what time and identity of its events are."""

import hashlib
import inspect
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn, get_args

from fastdata.coordinates.instants import HOUR_MS, parse_duration, parse_instant
from fastdata.declare.place import declaring_place
from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.decoder import EARLIEST_MS, LATEST_MS, Mapper, OnMapError
from fastdata.events.fieldtypes import FieldType
from fastdata.events.formats import Format, ValueReader, open_reader
from fastdata.events.schema import Schema

__all__ = ["Destination", "Source", "find_schema"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_EVER_MS = 1 << 62  # later than any event
_OLDEST = "1971-01-01"  # as seconds, all times until the year 2969 are before it
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the events of a source are sent on to.

    Attributes:
        schema: That they are written with there.
    """

    topic: str
    schema: Schema


class Source:
    """Events of one topic.

        visits = Source("visits", topic="visits", schema="visit.avsc", time="at", id="visit_id")

    Args:
        name: Lower case; names the group, the table and the archive's group of the source.
        topic: The Kafka topic.
        schema: Path of the `.avsc` file, looked up from the working folder, then from the
            folder of the declaring file upwards.
        time: The field with the event time, a timestamp or a long in milliseconds.
        id: The field that identifies an event; batch removes repeated events by it.
        lateness: How far behind the newest event time of its partition the speed layer
            still folds an event. What is later is counted, and left to batch. None: however late.
        skip_after: A worker that begins, as after an outage, folds only what was written since so
            long ago, in whole segments, so that it is fresh at once. What it skips is a gap in
            answers until the next replay, which counts it. None: it folds all.
        skew: How far in the future an event time may be.
        oldest: The first hour in which there can be events, from 1970 on; as an aware `datetime`
            or ISO text. What is older is a dead letter: mostly it is seconds read as
            milliseconds, or 0.
        segment_size: Offsets in a segment; fixed for the topic's life.
        repeat_horizon: How many offsets back of the same partition the speed layer
            recognizes a repeated id, in whole segments; 0 turns it off.
        format: What a value on the wire is: `avro` with a Confluent head, `json` for one object,
            or `text` for one line.
        pattern: A regular expression that a whole line must match; its named groups are the
            fields. Without one, the field `line` is the line. The time field, when it is no
            group, is the timestamp of the record in Kafka.
        on_map_error: What an event is of which the map function raises, or returns neither a dict
            nor None: `stop`, a bug, for which worker and replay stop; or `dead-letter`, left
            out by both layers. It is no part of what metrics are, so it can be changed.

    Raises:
        DeclarationError: With the place of the declaration and the fields there are.
    """

    destination: Destination | None = None

    def __init__(
        self,
        name: str,
        *,
        topic: str,
        schema: str,
        time: str,
        id: str | None = None,
        lateness: str | timedelta | None = None,
        skip_after: str | timedelta | None = None,
        skew: str | timedelta = "5m",
        oldest: str | datetime = _OLDEST,
        segment_size: int = 10_000,
        repeat_horizon: int = 100_000,
        format: Format = "avro",
        pattern: str | None = None,
        on_map_error: OnMapError = "stop",
    ) -> None:
        self.place = declaring_place()
        self.name = name
        self.topic = topic
        self._check_names()
        self.schema = Schema.load(find_schema(schema, self.place))
        self.time = self._check_time(time)
        self.id = self._check_id(id)
        self.format = format
        self.pattern = pattern
        self.reader = self._open_reader()
        self.lateness_ms = self._duration("lateness", lateness)
        self.skip_after_ms = self._duration("skip_after", skip_after)
        self.skew_ms = self._duration("skew", skew)
        self.oldest_ms = self._oldest(oldest)
        if segment_size < 1 or repeat_horizon < 0:
            self._fail("segment_size must be at least 1 and repeat_horizon at least 0")
        self.segment_size = segment_size
        self.repeat_horizon = repeat_horizon if self.id else 0
        self.mapper: Mapper | None = None
        if on_map_error not in (choices := get_args(OnMapError)):
            self._fail(f"on_map_error is {on_map_error!r}; it is one of: {', '.join(choices)}")
        self.on_map_error = on_map_error

    @property
    def mapper_place(self) -> str:
        """Its map function, for messages."""
        return f"the map function of source {self.name!r} ({self.place})"

    def __repr__(self) -> str:
        return f"Source({self.name!r}, topic={self.topic!r})"

    def map(self, mapper: Mapper) -> Mapper:
        """Decorator: a function that changes each event, or drops it by returning None.

        It gets a dict of the event's fields (timestamps as integers in the schema's unit) and
        must depend on nothing else. Fields that it adds cannot be used by metrics.

            @visits.map
            def people(event):
                return None if event["agent"] == "robot" else event

        Raises:
            DeclarationError: The source has a map function already.
        """
        if self.mapper is not None:
            self._fail("it has a map function already; do both in one function")
        self.mapper = mapper
        return mapper

    def to(self, topic: str, *, schema: str | None = None) -> None:
        """Send the events on to another topic, as Avro, for the next job.

        What the map function drops, and repeats, are left out. Workers do it, also where no
        metric is over the source. It is no part of what metrics are.

            visits.to("clean-visits")

        Args:
            topic: Is created when it is not there, and the schema registered for it.
            schema: Path of its `.avsc` file, as of the source; the source's when None. Fields that
                it does not have are left out, and an event that does not fit is a dead letter.

        Raises:
            DeclarationError: The source has a destination already, the topic is its own, or no
                name of one, or there is no such schema.
        """
        if self.destination is not None:
            self._fail(f"it is sent on to {self.destination.topic!r} already")
        if topic == self.topic:
            self._fail("its events would be sent to its own topic, and come again for ever")
        self._check_topic(topic)
        written = self.schema if schema is None else Schema.load(find_schema(schema, self.place))
        self.destination = Destination(topic, written)

    def field(self, name: str, user: str) -> FieldType:
        """The type of a field.

        Args:
            name: Of the field.
            user: Place and name of what uses the field, for the message.

        Raises:
            DeclarationError: There is no such field.
        """
        try:
            return self.schema.fields[name]
        except KeyError:
            have = ", ".join(self.schema.fields)
            raise DeclarationError(
                f"{user}: source {self.name!r} has no field {name!r}; it has: {have}"
            ) from None

    def key_of(self, value: bytes) -> bytes | None:
        """The key to send a value with, as text of its id, so that repeats meet in one partition.

        None when it has no id, cannot be read, or is Avro.
        """
        if self.reader is None or self.id is None:
            return None
        try:
            identity = self.reader.read(value, 0)[self.id]
        except BadEventError:
            return None
        return None if identity is None else str(identity).encode()

    def describe(self) -> str:
        """Canonical JSON of what the definition of its metrics depends on."""
        parts = [self.name, self.topic, self.time, self.id, self.segment_size, self._map_digest()]
        if self.reader is not None:
            parts += [self.format, self.pattern]
        if self.oldest_ms != parse_instant(_OLDEST):
            parts.append(self.oldest_ms)
        return json.dumps(parts)

    def _open_reader(self) -> ValueReader | None:
        try:
            return open_reader(self.format, self.schema, self.time, self.pattern)
        except DeclarationError as error:
            self._fail(f"{error} (the schema is {self.schema.name})")

    def _map_digest(self) -> str | None:
        if self.mapper is None:
            return None
        try:
            text = inspect.cleandoc(inspect.getsource(self.mapper))
        except (OSError, TypeError):
            text = getattr(self.mapper, "__qualname__", "map")
        return hashlib.sha256(text.encode()).hexdigest()

    def _check_names(self) -> None:
        if not _NAME.fullmatch(self.name):
            self._fail("a name is 1 to 48 of a-z, 0-9, _ and -, and begins with a letter")
        self._check_topic(self.topic)

    def _check_topic(self, topic: str) -> None:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            self._fail(f"{topic!r} is no name of a Kafka topic")

    def _check_time(self, name: str) -> str:
        field = self.field(name, f"{self.place}: time of source {self.name!r}")
        is_time = field.kind == "int" and field.bits == 64 and field.unit
        if field.kind != "timestamp" and not is_time:
            self._fail(
                f"its time field {name!r} holds {field.kind} of another kind than time; use a "
                "timestamp in ms or us, or a long in ms"
            )
        return name

    def _check_id(self, name: str | None) -> str | None:
        if name is not None:
            kind = self.field(name, f"{self.place}: id of source {self.name!r}").kind
            if kind not in ("string", "int"):
                self._fail(f"its id field {name!r} holds {kind}; use a string or an integer")
        return name

    def _duration(self, setting: str, value: str | timedelta | None) -> int:
        try:
            return _EVER_MS if value is None else parse_duration(value)
        except ValueError as error:
            raise DeclarationError(
                f"{self.place}: {setting} of source {self.name!r}: {error}"
            ) from error

    def _oldest(self, value: str | datetime) -> int:
        try:
            oldest_ms = parse_instant(value)
        except ValueError as error:
            self._fail(f"oldest: {error}")
        if not EARLIEST_MS <= oldest_ms < LATEST_MS or oldest_ms % HOUR_MS:
            self._fail(f"oldest is {value}; it must be a whole hour of the years 1970 to 2199")
        return oldest_ms

    def _fail(self, message: str) -> NoReturn:
        raise DeclarationError(f"{self.place}: source {self.name!r}: {message}")


def find_schema(schema: str, place: str) -> Path:
    """The file of a schema: in the working folder, beside who names it, or above that.

    Args:
        place: `file:line` of who names it.

    Raises:
        DeclarationError: There is none.
    """
    path = Path(schema)
    here = Path(place.rpartition(":")[0]).resolve().parent
    for folder in (Path.cwd(), here, *here.parents):
        if (folder / path).is_file():
            return folder / path
    raise DeclarationError(
        f"{place}: there is no schema {schema!r} in {Path.cwd()}, nor in {here} or above it"
    )
