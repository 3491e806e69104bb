"""The hours of archived values that are no Avro, as the present declaration reads them.

The manifest counts events by hour with the declaration of the day on which they were archived.
Another schema or pattern may read other times, read what could not be read, or not read what
could. Such objects are read again; what they hold does not change.
"""

from collections import Counter
from dataclasses import replace

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.archive.records import NoRegistry
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.source import Source
from fastdata.errors import ArchiveConflictError, BadEventError
from fastdata.events.decoder import Decoder
from fastdata.events.formats import VALUE_SCHEMA

__all__ = ["index_again"]


async def index_again(
    reader: ArchiveReader, source: Source, snapshot: Snapshot, counted: dict[str, ObjectEntry]
) -> Snapshot:
    """The snapshot with the hours that `source` reads, whichever declaration archived the values.

    Args:
        counted: What was counted before, by the names of objects; what is new is added.

    Raises:
        ArchiveConflictError: The source is declared as Avro, and values of the archive are not.
        CorruptStateError: An object is gone, or not what the manifest says.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    mine = source.reader.id if source.reader else None
    stale = [
        entry
        for entry in snapshot.objects()
        if entry.schema == VALUE_SCHEMA.canonical and entry.schema_id != mine
    ]
    if stale and mine is None:
        raise ArchiveConflictError(
            f"the archive of {source.topic!r} holds values that are no Avro, but source "
            f"{source.name!r} ({source.place}) is declared without a format; give it the format "
            "of the topic"
        )
    decoder = Decoder(source, NoRegistry())
    for entry in stale:
        if entry.name not in counted:
            counted[entry.name] = await _count(reader, decoder, entry)
    if not counted:
        return snapshot
    entries = {
        partition: tuple(
            replace(entry, objects=tuple(counted.get(o.name, o) for o in entry.objects))
            for entry in chain
        )
        for partition, chain in snapshot.entries.items()
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
