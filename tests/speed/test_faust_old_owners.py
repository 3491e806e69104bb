"""A worker that wakes up after others have taken its partitions over, and gets them back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import faust
from faust.events import Event
from faust.types import TP
from faust.types.tuples import Message

from fastdata.speed.keys import StateRow
from fastdata.speed.producer import AckedProducer
from fastdata.speed.table import ChangelogTable, FaustTable, rocksdb_options

TOPIC = "shop-fastdata-clicks-changelog"
TP0 = TP(TOPIC, 0)


class Log(AckedProducer):
    """The changelog of one partition, as a list."""

    def __init__(self) -> None:
        self.rows: list[StateRow] = []

    async def send_rows(self, topic: str, rows: Mapping[int, Sequence[StateRow]]) -> dict[int, int]:
        self.rows.extend(rows[0])
        return {0: len(self.rows) - 1}


class Owner:
    """A worker with a disk of its own."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.log = log
        self.app = faust.App("shop", broker="kafka://localhost:1", store="rocksdb://",
                             datadir=folder)  # fmt: skip
        self.app.conf.tabledir.mkdir(parents=True, exist_ok=True)
        self.table = ChangelogTable(
            self.app, "fastdata-clicks", before_close=self._nothing, fail=self._fail
        )
        self.table.options = rocksdb_options(1)
        self.open()

    async def _nothing(self) -> None: ...

    def _fail(self, what: str, error: BaseException) -> None:
        raise error

    def open(self) -> None:
        """Restore what the disk does not have, as Faust does, and own the partition."""
        persisted = self.table.persisted_offset(TP0)
        first = 0 if persisted is None else persisted + 1
        events = []
        for offset, (key, value) in list(enumerate(self.log.rows))[first:]:
            message = Message(TOPIC, 0, offset, 0.0, 0, None, key, value, None, tp=TP0)
            events.append(Event(self.app, key, value, {}, message))
        self.table.apply_changelog_batch(events)
        self.table.begin(0, len(self.log.rows))

    async def write(self, **rows: int) -> None:
        values = [(key.encode(), stamp.to_bytes(8, "big")) for key, stamp in rows.items()]
        await FaustTable(self.table, self.log).write({0: values})

    def stamps(self) -> dict[str, int]:
        rows = self.table.local.scan(0, b"")
        return {key.decode(): int.from_bytes(value or b"", "big") for key, value in rows}


async def test_an_old_owner_that_wrote_once_more_restores_what_its_successor_wrote(
    tmp_path: Path,
) -> None:
    log = Log()
    old = Owner(tmp_path / "old", log)
    await old.write(home=1, marker=2)
    new = Owner(tmp_path / "new", log)
    await new.write(cart=4, marker=5)
    await old.write(home=3, marker=4)
    await new.write(home=6, marker=7)
    old.open()

    assert old.stamps() == {"home": 6, "cart": 4, "marker": 7}


async def test_an_owner_that_is_alone_restores_only_what_is_new(tmp_path: Path) -> None:
    log = Log()
    owner = Owner(tmp_path, log)
    await owner.write(home=1, marker=2)
    await owner.write(home=3, cart=4, marker=5)

    assert owner.table.persisted_offset(TP0) == 4
