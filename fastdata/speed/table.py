"""The state table: a plain Faust table that Faust restores and we write.

Faust owns the local store, the changelog topic and the recovery. Writing is ours: Faust's own
`table[key] = value` needs a current event, costs 157 us a key, puts the local store ahead of
the changelog and throws the acknowledgement away.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import faust
import rocksdict
from faust.types import TP, EventT

from fastdata import failpoints
from fastdata.coordinates.epochs import FIRST_EPOCH, Epoch, LogIdentity
from fastdata.errors import BrokerError, SettingsError, TableError
from fastdata.speed import files, keys
from fastdata.speed.keys import StateRow
from fastdata.speed.producer import AckedProducer

__all__ = ["ChangelogTable", "FaustTable", "rocksdb_options"]

logger = logging.getLogger(__name__)

_LOG_KEY = b"__log"


def rocksdb_options(
    partitions: int, max_open_files: int = 256, budget_bytes: int = 128 << 20
) -> dict[str, int]:
    """Options that keep all partitions of a table within a memory budget.

    Faust's own are 2 GiB of cache and 192 MiB of write buffers *per partition*.

    Args:
        max_open_files: Of each partition.
    """
    share = max(1 << 20, budget_bytes // max(1, partitions))
    return {
        "block_cache_size": share // 2,
        "write_buffer_size": share // 4,
        "max_write_buffer_number": 2,
        "max_open_files": max_open_files,
    }


class _RocksRows:
    def __init__(self, store: Any, changelog: LogIdentity) -> None:
        self._store = store
        self._changelog = changelog

    def is_open(self, partition: int) -> bool:
        return partition in self._store._dbs

    def get(self, partition: int, key: bytes) -> bytes | None:
        return cast(bytes | None, self._db(partition).get(key))

    def scan(self, partition: int, prefix: bytes) -> Iterator[StateRow]:
        for key, value in self._db(partition).items(from_key=prefix):
            if not key.startswith(prefix):
                return
            if key not in (self._store.offset_key, _LOG_KEY):
                yield key, value

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int | None) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if offset is not None:
            # In the same batch as the rows: recovery begins exactly where they end.
            batch.put(self._store.offset_key, str(offset).encode())
            batch.put(_LOG_KEY, str(self._changelog).encode())
        self._db(partition).write(batch)

    def forget_other_log(self, partition: int) -> bool:
        """Drop all rows if they are of another changelog for sure; whether they were."""
        stored = self._db(partition).get(_LOG_KEY) or b""
        if not LogIdentity.load(stored.decode()).is_other(self._changelog):
            return False
        batch = rocksdict.WriteBatch(raw_mode=True)
        batch.delete_range(b"", b"\xff")
        self._db(partition).write(batch)
        return True

    def _db(self, partition: int) -> Any:
        # Faust would open it, although its next owner may be waiting for the lock.
        if (db := self._store._dbs.get(partition)) is None:
            raise TableError(f"partition {partition} of {self._store.table_name} is not open")
        return db


class _MemoryRows:
    """For tests. Keys hold their partition, since there is one dictionary for all."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def is_open(self, partition: int) -> bool:
        return True

    def get(self, partition: int, key: bytes) -> bytes | None:
        return cast(bytes | None, self._store.data.get(key))

    def scan(self, partition: int, prefix: bytes) -> Iterator[StateRow]:
        keys = sorted(key for key in self._store.data if key.startswith(prefix))
        return iter([(key, self._store.data[key]) for key in keys])

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int | None) -> None:
        for key, value in rows.items():
            if value is None:
                self._store.data.pop(key, None)
                self._store._key_partition.pop(key, None)
            else:
                self._store.data[key] = value
                self._store._key_partition[key] = partition


class ChangelogTable(faust.Table[bytes, bytes]):
    """A Faust table of bytes whose restore obeys the stamps.

    Args:
        before_close: Awaited when the app stops, while the local store is still open.
        fail: Ends the process; Faust would log an error of the restore and go on without.

    Attributes:
        changelog: Which log the changelog is, once the broker has said it.
    """

    changelog = LogIdentity()

    def __init__(
        self,
        app: faust.App,
        name: str,
        *,
        before_close: Callable[[], Awaitable[None]],
        fail: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(app, name=name, key_type=bytes, value_type=bytes)
        self._before_close = before_close
        self._fail = fail
        self._restored_from: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._local: tuple[object, LogIdentity, _RocksRows | _MemoryRows] | None = None

    @property
    def local(self) -> _RocksRows | _MemoryRows:
        """The rows on this worker's disk; in memory in tests."""
        data, log = self.data, self.changelog
        if self._local is None or self._local[0] is not data or self._local[1] != log:
            rows = _RocksRows(data, log) if hasattr(data, "_dbs") else _MemoryRows(data)
            self._local = data, log, rows
        return self._local[2]

    async def on_start(self) -> None:
        """Open the local store. The changelog topic exists already: we create and check it."""
        await self.add_runtime_dependency(self.data)

    async def on_stop(self) -> None:
        """Flush before the local store closes; Faust's own shutdown signal comes after that."""
        await self._before_close()
        await super().on_stop()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Open the local stores of partitions, if so many files may be open."""
        changelog = self.changelog_topic_name
        try:
            files.check_room(sum(tp.topic == changelog for tp in newly_assigned))
        except SettingsError as error:
            self._fail("opening the state", error)
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def persisted_offset(self, tp: TP) -> int:
        """The changelog offset up to which the local store has everything; -1 for none.

        Faust takes -1 for none as well. At None it would go on from the last offset that it saw,
        which may be that of a row that `_restore` left out.

        The offset of another changelog says nothing of this one, of which rows would be missing:
        a local store that has followed one begins anew. So does the topic that moved to another
        cluster while the worker kept its folder.
        """
        offset, local = super().persisted_offset(tp), self.local
        if isinstance(local, _RocksRows) and local.forget_other_log(tp.partition):
            logger.warning("%s/%d is another log than before: restoring all of it", *tp)
            offset = None
        self._restored_from[tp.partition] = -1 if offset is None else offset
        return self._restored_from[tp.partition]

    def is_intact(self, partition: int, log_start: int, log_end: int) -> bool:
        """Whether the last restore saw every change of a partition.

        False when the changelog has lost records that the local store did not have, or when
        it ends before the local store does: then it was deleted and made anew.
        """
        restored_from = self._restored_from.get(partition, -1)
        return log_start <= restored_from + 1 and restored_from < max(log_end, 1)

    def begin(self, partition: int, log_end: int) -> None:
        """Own a partition from now on, whose changelog has `log_end` as its next offset."""
        self._ends[partition] = log_end

    def write_local(self, partition: int, rows: Sequence[StateRow], last: int) -> None:
        """Keep rows that the changelog has, the last of them at the offset `last`.

        Once somebody else has written in between, the next restore begins before that: an old
        owner that woke up would otherwise never see what its successor wrote meanwhile.
        """
        is_alone = self._ends.get(partition, last + 1 - len(rows)) == last + 1 - len(rows)
        if is_alone:
            self._ends[partition] = last + 1
        self.local.put(partition, dict(rows), last if is_alone else None)

    def apply_changelog_batch(self, batch: Iterable[EventT[bytes]]) -> None:
        """Restore some changes. Of two values of one key the larger stamp wins.

        An old owner that woke up late may have written after the new one.
        """
        try:
            self._restore(batch)
        except Exception as error:  # noqa: BLE001 - Faust would log it and go on with half a state
            self._fail(f"restoring the table {self.name}", error)

    def _restore(self, batch: Iterable[EventT[bytes]]) -> None:
        rows: dict[int, dict[bytes, bytes | None]] = {}
        offsets: dict[int, int] = {}
        local = self.local
        for event in batch:
            message = event.message
            partition, key, value = message.partition, message.key or b"", message.value
            if not local.is_open(partition):
                continue  # revoked while it was restored; its next owner restores the row
            restored = rows.setdefault(partition, {})
            offsets[partition] = max(message.offset, offsets.get(partition, -1))
            stored = restored[key] if key in restored else local.get(partition, key)
            if not keys.is_older(value, stored):
                restored[key] = value
        for partition, restored in rows.items():
            local.put(partition, restored, offsets[partition])


class FaustTable:
    """The `StateTable` over a `ChangelogTable`.

    Args:
        epoch: Gives the partitions of Kafka, and of the changelog, their numbers.
    """

    def __init__(
        self, table: ChangelogTable, producer: AckedProducer, epoch: Epoch = FIRST_EPOCH
    ) -> None:
        self._table = table
        self._producer = producer
        self._epoch = epoch

    def get(self, partition: int, key: bytes) -> bytes | None:
        """See `StateTable`."""
        return self._table.local.get(self._epoch.partition(partition), key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StateTable`."""
        rows = self._table.local.scan(self._epoch.partition(partition), prefix)
        return cast(Iterator[tuple[bytes, bytes]], rows)

    async def write(self, rows: Mapping[int, Sequence[StateRow]]) -> None:
        """See `StateTable`.

        The changelog first, awaited, then one atomic batch per partition in the local store,
        so that the local store is never ahead of the changelog.

        Raises:
            TableError: Some may be written, some not; the worker must stop.
        """
        mine = {self._epoch.partition(number): new for number, new in rows.items()}
        newer = {p: new for p, all_rows in mine.items() if (new := self._newer_rows(p, all_rows))}
        try:
            offsets = await self._producer.send_rows(self._table.changelog_topic_name, newer)
            failpoints.reach("table.after_send")
            for partition, written in newer.items():
                if not self._table.local.is_open(partition):
                    continue  # revoked meanwhile; its next owner restores the rows
                self._table.write_local(partition, written, offsets[partition])
                failpoints.reach("table.mid_local")
        except BrokerError as error:
            raise TableError(f"the changelog of {self._table.name}: {error}") from error
        except Exception as error:  # rocksdict raises nothing more special
            raise TableError(f"the local store of {self._table.name}: {error}") from error

    def _newer_rows(self, partition: int, rows: Sequence[StateRow]) -> list[StateRow]:
        local = self._table.local
        if not local.is_open(partition):
            return list(rows)
        # A cell goes on from the stored one, and to ask for each costs as much as to write it.
        return [
            (key, value)
            for key, value in rows
            if keys.is_cell(key)
            or value is None
            or not keys.is_older(value, local.get(partition, key))
        ]
