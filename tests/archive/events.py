"""A source, its log and an archiver, for the tests of the archive."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import fastavro

from fastdata.archive import (
    ArchivedRecord,
    ArchiveReader,
    ArchiveStorage,
    ObjectEntry,
    PartitionArchive,
)
from fastdata.archive.records import REJECT_SCHEMA
from fastdata.declare.source import Source
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode

OLD = '{"type":"record","name":"Click","fields":[{"name":"at","type":["null","long"]}]}'
NEW = (
    '{"type":"record","name":"Click","fields":[{"name":"at","type":["null","long"]},'
    '{"name":"page","type":"string","default":""}]}'
)
HOUR = 3_600_000
START = 1_356_998_400_000  # 2013-01-01

OLD_SCHEMA = Schema.parse(OLD)
NEW_SCHEMA = Schema.parse(NEW)


class Reject(NamedTuple):
    """A record of the log that could not be decoded, and why."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    reason: str


class Clock:
    """Milliseconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def write_schemas(folder: Path) -> None:
    (folder / "click.avsc").write_text(NEW)
    (folder / "click_old.avsc").write_text(OLD)


async def read_rejects(reader: ArchiveReader, entry: ObjectEntry) -> list[Reject]:
    """What could not be decoded, of one object of `Snapshot.rejected`."""
    return [_load_reject(datum) for _, datum in await reader.read(entry)]


def _load_reject(datum: bytes) -> Reject:
    schema = fastavro.parse_schema(json.loads(REJECT_SCHEMA))
    record = cast("dict[str, object]", fastavro.schemaless_reader(io.BytesIO(datum), schema, None))
    headers = cast("list[dict[str, object]]", record["headers"])
    return Reject(**record | {"headers": [(h["key"], h["value"]) for h in headers]})  # type: ignore[arg-type]


class World:
    """A storage, and archivers of partition 0 of one source over it."""

    def __init__(self, folder: Path, storage: ArchiveStorage, segment_size: int = 10) -> None:
        write_schemas(folder)
        self.source = Source(
            "clicks",
            topic="web.clicks",
            schema=str(folder / "click.avsc"),
            time="at",
            segment_size=segment_size,
        )
        self.registry = FolderRegistry(folder)
        self.storage = storage
        self.clock = Clock()

    def archiver(
        self,
        *,
        partition: int = 0,
        tile_bytes: int = 1 << 20,
        tile_age_s: float = 10,
        accept_loss: bool = False,
    ) -> PartitionArchive:
        return PartitionArchive(
            self.storage,
            self.source,
            Decoder(self.source, self.registry),
            partition,
            clock=self.clock,
            tile_bytes=tile_bytes,
            tile_age_s=tile_age_s,
            accept_loss=accept_loss,
        )

    async def opened(self, log_start: int = 0, *, accept_loss: bool = False) -> PartitionArchive:
        archive = self.archiver(accept_loss=accept_loss)
        await archive.open(log_start)
        return archive

    def reader(self) -> ArchiveReader:
        return ArchiveReader(self.storage, self.source)

    async def archived(self) -> dict[int, bytes | None]:
        """Value by offset of all that there is, as it was on the wire."""
        reader = self.reader()
        snapshot = await reader.snapshot()
        values: dict[int, bytes | None] = {}
        for entry in snapshot.objects():
            head = b"\0" + (entry.schema_id or 0).to_bytes(4, "big")
            for offset, datum in await reader.read(entry):
                assert offset not in values
                values[offset] = head + datum
        for entry in snapshot.rejected:
            for reject in await read_rejects(reader, entry):
                assert reject.offset not in values
                values[reject.offset] = reject.value
        return values

    async def names(self, folder: str = "") -> list[str]:
        return [n for n in await self.storage.names(folder) if n.startswith(folder)]


def click(
    offset: int, at: int | None = START, page: str = "/", schema: Schema = NEW_SCHEMA
) -> ArchivedRecord:
    fields: dict[str, object] = {"at": at, "page": page}
    if schema is OLD_SCHEMA:
        del fields["page"]
    return ArchivedRecord(offset, START, None, encode(schema, fields))


def clicks(start: int, end: int) -> list[ArchivedRecord]:
    return [click(offset, START + offset * 60_000, f"/{offset}") for offset in range(start, end)]


def values(records: Sequence[ArchivedRecord]) -> dict[int, bytes | None]:
    return {record.offset: record.value for record in records}


def feed(archive: PartitionArchive, records: Sequence[ArchivedRecord]) -> None:
    for record in records:
        archive.append(record)
