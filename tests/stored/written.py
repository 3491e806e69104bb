"""What version 0.1.0 has written, unpacked into a folder."""

import json
import lzma
import tarfile
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from obstore.store import LocalStore

from fastdata.archive import ArchivedRecord, ArchiveStorage
from fastdata.cli.main import commands
from fastdata.declare.catalog import Catalog, load_folder
from fastdata.declare.source import Source
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry

HERE = Path(__file__).parent
DECLARED = HERE / "declared"
PARTITIONS = {"visits": 2, "readings": 1}


@cache
def unpacked(name: str) -> Any:
    """What a file of JSON holds."""
    return json.loads(lzma.decompress((HERE / "0.1.0" / f"{name}.json.xz").read_bytes()))


@cache
def declared() -> Catalog:
    """The metrics and sources of what was written."""
    return load_folder(DECLARED / "agents")


def decoder(source: Source) -> Decoder:
    """Reads the records of a source."""
    return Decoder(source, FolderRegistry(DECLARED / "schemas"))


def records(topic: str, partition: int) -> list[ArchivedRecord]:
    """The records of a log, also those that came after all else was written."""
    return [
        ArchivedRecord(
            record["offset"],
            record["timestamp"],
            _bytes(record["key"]),
            _bytes(record["value"]),
            [(name, _bytes(value)) for name, value in record["headers"]],
        )
        for record in unpacked("log")
        if (record["topic"], record["partition"]) == (topic, partition)
    ]


def changes(topic: str, partition: int) -> list[tuple[bytes, bytes | None]]:
    """The records of the changelog of a source, by offset."""
    log = records(changelog(topic), partition)
    return [(record.key or b"", record.value) for record in log]


def changelog(topic: str) -> str:
    """The changelog of a source."""
    return f"fastdata-fastdata-{topic}-changelog"


def committed(topic: str) -> list[int]:
    """The next offset of each partition at the moment at which all was kept."""
    offsets: list[int] = unpacked("answers")["committed"][topic]
    return offsets


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


class CountedStorage(ArchiveStorage):
    """Remembers what is read and created."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder))
        self.read: list[str] = []
        self.created: list[str] = []

    async def get(self, name: str) -> bytes | None:
        self.read.append(name)
        return await super().get(name)

    async def create(self, name: str, data: bytes) -> bool:
        is_new = await super().create(name, data)
        self.created += [name] * is_new
        return is_new


@dataclass(frozen=True, slots=True)
class Written:
    """Copies of what was written, to read and to go on with."""

    folder: Path

    def archive(self) -> CountedStorage:
        """The archive."""
        return CountedStorage(self._unpack("archive"))

    def state(self) -> Path:
        """The state folder of the workers."""
        return self._unpack("state")

    def store(self) -> str:
        """The URL of the store."""
        path = self.folder / "store.db"
        if not path.exists():
            path.write_bytes(lzma.decompress((HERE / "0.1.0" / "store.db.xz").read_bytes()))
        return f"sqlite:///{path}"

    def run(self, *words: str) -> Any:
        """What a command of fastdata answers, asked about the store."""
        environment = {
            "FASTDATA_STORE": self.store(),
            "FASTDATA_AGENTS": str(DECLARED / "agents"),
            "FASTDATA_REGISTRY": str(DECLARED / "schemas"),
        }
        done = CliRunner().invoke(commands, [*words, "--json"], env=environment)
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        answer.pop("took_s", None)
        # What that version did not say of its rows.
        answer.pop("replayed", None)
        answer.pop("gaps", None)
        return answer

    def _unpack(self, name: str) -> Path:
        folder = self.folder / name
        if not folder.exists():
            with tarfile.open(HERE / "0.1.0" / f"{name}.tar.xz") as packed:
                packed.extractall(folder, filter="data")
        return folder


def answers(when: str) -> list[Any]:
    """What that version answered to each question, "before" or "after" the end of the log."""
    given: list[Any] = unpacked("answers")[when]
    for answer in given:
        answer.pop("took_s", None)
        # What that version did not say of its rows.
        answer.pop("replayed", None)
        answer.pop("gaps", None)
        # That version did not store when records were written to the log.
        answer["read_until"] = None
        # All definitions are those that it had.
        answer["earlier"] = None
        # It could not be asked about a part.
        answer |= {"where": None, "order": [], "limit": None}
        for row in answer["rows"]:
            row["read_until"] = None
            # That version had a reserved word of SQL for the name.
            row["window_start"] = row.pop("window", row.get("window_start"))
    return given
