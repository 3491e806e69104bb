"""Every event of a topic, kept for good: Kafka to an object store, and back to batch."""

from fastdata.archive.epochs import add_epoch, load_epochs
from fastdata.archive.manifest import Entry, ObjectEntry
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.archive.records import ArchivedRecord
from fastdata.archive.storage import ArchiveStorage, open_archive_storage
from fastdata.archive.writer import PartitionArchive

__all__ = [
    "ArchiveReader",
    "ArchiveStorage",
    "ArchivedRecord",
    "Entry",
    "ObjectEntry",
    "PartitionArchive",
    "Snapshot",
    "add_epoch",
    "load_epochs",
    "open_archive_storage",
]
