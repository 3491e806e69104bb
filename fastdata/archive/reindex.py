"""The hours of archived values that are no Avro, as the present declaration reads them.

The manifest counts events by hour with the declaration of the day on which they were archived.
Another schema or pattern may read other times, read what could not be read, or not read what
could. Such objects are read again; what they hold does not change.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from fastdata.archive.manifest import Entry, ObjectEntry
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.source import Source
from fastdata.errors import ArchiveConflictError, BadEventError, UnknownSchemaError
from fastdata.events.decoder import Decoder
from fastdata.events.formats import VALUE_SCHEMA
from fastdata.events.schema import Schema

__all__ = ["index_again"]


class _Unused:
    def get(self, schema_id: int) -> Schema:
        raise UnknownSchemaError(f"no schema {schema_id}")


async def index_again(
    reader: ArchiveReader, source: Source, snapshot: Snapshot, known: dict[str, ObjectEntry]
) -> Snapshot:
    """The snapshot with the hours that `source` reads, whichever declaration archived the values.

    Args:
        known: What was counted before, by the names of objects; what is new is added.

    Raises:
        ArchiveConflictError: The source is declared as Avro, and values of the archive are not.
        CorruptStateError: An object is gone, or not what the manifest says.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    mine = source.reader.id if source.reader else None
    stale = [
        each
        for each in snapshot.objects()
        if each.schema == VALUE_SCHEMA.canonical and each.schema_id != mine
    ]
    if stale and mine is None:
        raise ArchiveConflictError(
            f"the archive of {source.topic!r} holds values that are no Avro, but source "
            f"{source.name!r} ({source.place}) is declared without a format; give it the format "
            "of the topic"
        )
    decoder = Decoder(source, _Unused())
    for each in stale:
        if each.name not in known:
            known[each.name] = await _count(reader, decoder, each)
    if not known:
        return snapshot
    entries = {
        partition: tuple(_replaced(entry, known) for entry in some)
        for partition, some in snapshot.entries.items()
    }
    return replace(snapshot, entries=entries)


async def _count(reader: ArchiveReader, decoder: Decoder, entry: ObjectEntry) -> ObjectEntry:
    hours: Counter[int] = Counter()
    for _, datum in await reader.read(entry):
        try:
            time = decoder.time_of(decoder.read_datum(VALUE_SCHEMA, datum))
        except BadEventError:
            continue
        hours[time - time % HOUR_MS] += 1
    return replace(entry, hours=dict(sorted(hours.items())), timeless=entry.count - hours.total())


def _replaced(entry: Entry, counted: Mapping[str, ObjectEntry]) -> Entry:
    objects = tuple(counted.get(each.name, each) for each in entry.objects)
    return replace(entry, objects=objects)
