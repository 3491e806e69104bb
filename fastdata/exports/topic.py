"""A flat table as events in a Kafka topic, so that the next job is a source over it.

    <topic>             an event for each change of a row, by window and dimensions; compacted
    <topic>.marks       the definition of the table, and the mark of each part; compacted

What was sent is known from the topic itself, which is read when an exporter begins. So a part is
compared with what is there: only rows that differ are sent, and after a kill no change comes twice.
The marks are written when all of a part is acknowledged; what was killed between the two finds
nothing to send. A row that is no more is sent once more, without measures.
"""

import json
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import Self

import pyarrow as pa

from fastdata import failpoints
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.errors import ExportError
from fastdata.events.registry import Registry, register
from fastdata.exports.changes import RowContent, RowEvents, Sent
from fastdata.exports.table import FlatTable
from fastdata.exports.target import PartMarks
from fastdata.kafka.connection import Broker
from fastdata.kafka.reading import TopicReader
from fastdata.kafka.sending import RecordSender
from fastdata.speed.topic_rules import Topic
from fastdata.speed.topics import TopicAdmin

__all__ = ["TopicTarget"]

_DEFINITION = b"definition"
_EXACT = "-exact"  # ends the mark of a part of which inexact rows may have been kept back
_PARTITIONS = 8
_CONFIG = {
    "cleanup.policy": "compact",
    # Within it a reader who was away sees each change, and not the last one alone.
    "min.compaction.lag.ms": str(7 * DAY_MS),
}


class TopicTarget:
    """A `Target` that is a Kafka topic.

    Args:
        flat: The table.
        topic: Created when it is not there.
        broker: Of the topic.
        registry: Gets the schema of the events.
        only_exact: A row is sent when it is exact; while it is not, what was sent stays.
    """

    def __init__(
        self,
        flat: FlatTable,
        topic: str,
        broker: Broker,
        registry: Registry,
        *,
        only_exact: bool,
    ) -> None:
        self.parts = flat.parts(HOUR_MS)
        self._flat = flat
        self._topic = topic
        self._marks_topic = f"{topic}.marks"
        self._broker = broker
        self._registry = registry
        self._only_exact = only_exact
        self._ending = _EXACT if only_exact else ""
        self._events = RowEvents(flat)
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._end()

    async def open(self) -> dict[int, str]:
        """The marks of what the topic holds; see `Target`.

        Raises:
            ExportError: The topic holds something else, or a table of another definition.
            BrokerError: The broker did not answer, or the topic is not compacted.
            RegistryError: The registry did not take the schema.
            IncompatibleSchemaError: The topic has values of another schema.
        """
        if self._stack is None:
            await self._begin()
        return dict(self._marks)

    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Send the rows that differ from what was sent last; see `Target`.

        Raises:
            BrokerError: Some may be sent; the next call begins with a look at the topic.
        """
        try:
            return await self._replace(marks, rows)
        except BaseException as error:
            await self._end(error)  # which of them are there, only the topic can tell
            raise

    async def finish(self) -> bool:
        """Nothing to do: there is one table in a topic."""
        return False

    async def _begin(self) -> None:
        await self._broker.check()
        await self._make_topics()
        self._marks: dict[int, str] = {}
        self._sent: defaultdict[int, dict[bytes, Sent]] = defaultdict(dict)
        async with AsyncExitStack() as stack:
            async with TopicReader(self._broker, "export") as reader:
                is_new = not await self._read_marks(reader)
                async for record in reader.read(self._topic):
                    if is_new or record.value is None:
                        raise ExportError(
                            f"the topic {self._topic!r} holds something that no export wrote, or"
                            f" {self._marks_topic!r} beside it was deleted: choose another topic;"
                            f" or, if only exports wrote to it, delete {self._topic!r} as well, and"
                            " the next export sends all rows anew"
                        )
                    end, sent = self._events.read(record.value)
                    of_part = self._sent[self.parts.of(end - 1).start]
                    before = of_part.get(record.key)
                    # Of a topic that was given more partitions a row may be in two of them.
                    if before is None or sent.revision >= before.revision:
                        of_part[record.key] = sent
            if not self._sent:
                self._marks = {}  # the topic was deleted, and what stands beside it was not
            self._schema_id = await register(self._registry, self._topic, self._events.schema)
            senders = (
                RecordSender(self._broker, name) for name in (self._topic, self._marks_topic)
            )
            self._rows, self._marking = [
                await stack.enter_async_context(sender) for sender in senders
            ]
            if is_new:
                about = {"definition": self._flat.definition, "metric": self._flat.metric.id}
                await self._marking.send_record(json.dumps(about).encode(), _DEFINITION)
                await self._marking.settle()
            self._stack = stack.pop_all()

    async def _end(self, error: BaseException | None = None) -> None:
        if (stack := self._stack) is not None:
            self._stack = None
            await stack.__aexit__(type(error) if error else None, error, None)

    async def _make_topics(self) -> None:
        async with TopicAdmin(**self._broker.aiokafka()) as admin:
            if not await admin.is_served():
                return  # a mock creates what is asked for
            copies = min(3, await admin.brokers())
            config = _CONFIG | {"min.insync.replicas": "2" if copies > 2 else "1"}
            for name, partitions in ((self._topic, _PARTITIONS), (self._marks_topic, 1)):
                await admin.ensure(name, Topic(name, partitions, copies, {}), config)

    async def _read_marks(self, reader: TopicReader) -> bool:
        """Learn the marks; whether an export wrote to the topic before.

        Raises:
            ExportError: That was one of another definition.
        """
        definition = None
        async for record in reader.read(self._marks_topic):
            if record.key == _DEFINITION:
                definition = json.loads(record.value)["definition"]
            elif record.value is None:
                self._marks.pop(int(record.key), None)
            else:
                self._marks[int(record.key)] = record.value.decode().removesuffix(self._ending)
        if definition not in (None, self._flat.definition):
            raise ExportError(
                f"the topic {self._topic!r} has rows of definition {definition}, and the metric or"
                f" the columns are of definition {self._flat.definition} now: choose a new topic"
                " and point its readers there"
            )
        return definition is not None

    async def _replace(self, marks: PartMarks, rows: pa.Table) -> int:
        gone = {key: (part, sent) for part in marks for key, sent in self._sent[part].items()}
        count = 0
        for row in self._events.contents(rows):
            part, before = gone.pop(row.key, (self.parts.of(row.end - 1).start, None))
            is_same = before is not None and before.content == row.content
            if not is_same and (row.is_exact or not self._only_exact):
                await self._send(part, row, before)
                count += 1
        for key, (part, before) in gone.items():
            empty = self._events.emptied(before.content)
            if before.content != empty:
                moments = None, round(time.time() * 1000)
                await self._send(part, RowContent(key, 0, empty, False, moments), before)
                count += 1
        await self._rows.settle()
        failpoints.reach("export.before_marks")
        for number, mark in marks.items():
            value = None if mark is None else f"{mark}{self._ending}".encode()
            await self._marking.send_record(value, str(number).encode())
            if mark is None:
                self._marks.pop(number, None)
            else:
                self._marks[number] = mark
        await self._marking.settle()
        return count

    async def _send(self, part: int, row: RowContent, before: Sent | None) -> None:
        event, sent = self._events.event(row, before, self._schema_id)
        await self._rows.send_record(event, row.key)
        self._sent[part][row.key] = sent
