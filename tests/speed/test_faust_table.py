"""The state table over Faust's: what is restored, what is written and in which order."""

import resource
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import faust
import pytest
from faust.events import Event
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.types import TP
from faust.types.tuples import Message

from fastdata import failpoints
from fastdata.coordinates.epochs import LogIdentity
from fastdata.errors import BrokerError, TableError
from fastdata.speed.keys import StateRow
from fastdata.speed.producer import AckedProducer
from fastdata.speed.table import ChangelogTable, FaustTable, rocksdb_options
from tests.support.rules import without

TOPIC = "shop-fastdata-clicks-changelog"


class Log(AckedProducer):
    """A changelog that is a list per partition."""

    def __init__(self) -> None:
        self.rows: dict[int, list[StateRow]] = {}
        self.broken = False

    async def send_rows(self, topic: str, rows: Mapping[int, Sequence[StateRow]]) -> dict[int, int]:
        assert topic == TOPIC
        if self.broken:
            raise BrokerError("no acknowledgement")
        for partition, some in rows.items():
            self.rows.setdefault(partition, []).extend(some)
        return {partition: len(self.rows[partition]) - 1 for partition in rows}


class Failures:
    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException]] = []

    def __call__(self, what: str, error: BaseException) -> None:
        self.seen.append((what, error))


@pytest.fixture(params=["rocksdb://", "memory://"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> faust.App:
    return make(request.param, tmp_path)


@pytest.fixture
def table(app: faust.App, failures: Failures) -> ChangelogTable:
    return table_of(app, failures)


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()


def make(store: str, folder: Path) -> faust.App:
    app = faust.App("shop", broker="kafka://localhost:1", store=store, datadir=folder)
    app.conf.tabledir.mkdir(parents=True, exist_ok=True)
    return app


def table_of(app: faust.App, failures: Failures | None = None) -> ChangelogTable:
    async def nothing() -> None: ...

    fail = failures or Failures()
    table = ChangelogTable(app, "fastdata-clicks", before_close=nothing, fail=fail)
    table.options = rocksdb_options(2)
    for partition in range(2):
        table.persisted_offset(TP(TOPIC, partition))  # opens it
    return table


def value(stamp: int, text: str = "") -> bytes:
    return struct.pack(">q", stamp) + text.encode()


def changes(app: faust.App, *rows: tuple[int, int, str, bytes | None]) -> list[Event]:
    events = []
    for partition, offset, key, new in rows:
        tp = TP(TOPIC, partition)
        message = Message(TOPIC, partition, offset, 0.0, 0, None, key.encode(), new, None, tp=tp)
        events.append(Event(app, key.encode(), new, {}, message))
    return events


def test_of_two_restored_values_of_a_key_the_larger_stamp_wins(
    app: faust.App, table: ChangelogTable
) -> None:
    table.apply_changelog_batch(changes(app, (0, 0, "a", value(5)), (0, 1, "a", value(3))))
    table.apply_changelog_batch(changes(app, (0, 2, "a", value(4)), (0, 3, "b", value(1))))

    assert table.local.get(0, b"a") == value(5)
    assert table.local.get(0, b"b") == value(1)


def test_of_two_values_with_one_stamp_the_later_wins(app: faust.App, table: ChangelogTable) -> None:
    table.apply_changelog_batch(changes(app, (0, 0, "a", value(5)), (0, 1, "a", value(5, "x"))))

    assert table.local.get(0, b"a") == value(5, "x")


def test_a_restored_deletion_deletes_whatever_the_stamp(
    app: faust.App, table: ChangelogTable
) -> None:
    table.apply_changelog_batch(changes(app, (0, 0, "a", value(5)), (0, 1, "b", value(5))))
    table.apply_changelog_batch(
        changes(app, (0, 2, "a", None), (0, 3, "b", None), (0, 4, "b", value(1)))
    )

    assert table.local.get(0, b"a") is None
    assert table.local.get(0, b"b") == value(1)


def test_without_the_rule_an_old_owner_overwrites_the_new_one(
    app: faust.App, table: ChangelogTable
) -> None:
    with without("monotone state"):
        table.apply_changelog_batch(changes(app, (0, 0, "a", value(5)), (0, 1, "a", value(3))))

    assert table.local.get(0, b"a") == value(3)


def test_an_error_of_the_restore_ends_the_process(
    app: faust.App, table: ChangelogTable, failures: Failures
) -> None:
    table.apply_changelog_batch(changes(app, (0, 0, "a", value(5))))
    broken = changes(app, (0, 1, "a", value(6)))
    broken[0].message.value = 7  # type: ignore[assignment]

    table.apply_changelog_batch(broken)

    assert [what for what, _ in failures.seen] == ["restoring the table fastdata-clicks"]


def test_a_change_that_comes_after_its_partition_has_gone_is_left_to_the_next_owner(
    tmp_path: Path, failures: Failures
) -> None:
    app = make("rocksdb://", tmp_path)
    table = table_of(app, failures)
    cast(Store, table.data).revoke_partitions(table, {TP(TOPIC, 0)})

    table.apply_changelog_batch(changes(app, (0, 0, "a", value(5)), (1, 0, "b", value(6))))

    assert failures.seen == []
    assert table.local.get(1, b"b") == value(6)
    assert table.persisted_offset(TP(TOPIC, 0)) == -1  # opens it
    assert table.local.get(0, b"a") is None


def test_a_change_that_was_left_out_is_restored_when_its_partition_comes_back(
    tmp_path: Path,
) -> None:
    app = make("rocksdb://", tmp_path)
    table, recovery = table_of(app), cast(TableManager, app.tables).recovery
    recovery.active_offsets[TP(TOPIC, 0)] = 0  # Faust has seen it, and thinks that it is kept

    recovery.add_active(table, TP(TOPIC, 0))

    assert recovery.active_offsets[TP(TOPIC, 0)] == -1


async def test_a_write_goes_to_the_changelog_in_order_and_then_to_the_local_store(
    table: ChangelogTable,
) -> None:
    log = Log()
    rows: dict[int, list[StateRow]] = {
        0: [(b"0a", value(1)), (b"0b", value(2))],
        1: [(b"1a", value(9))],
    }

    await FaustTable(table, log).write(rows)

    assert log.rows == rows
    assert table.local.get(0, b"0b") == value(2)
    assert table.local.get(1, b"1a") == value(9)


async def test_a_written_deletion_deletes(table: ChangelogTable) -> None:
    rows = FaustTable(table, Log())
    await rows.write({0: [(b"a", value(1))]})
    await rows.write({0: [(b"a", None)]})

    assert rows.get(0, b"a") is None


async def test_nothing_is_in_the_local_store_before_the_changelog_has_it(
    table: ChangelogTable,
) -> None:
    log = Log()
    log.broken = True

    with pytest.raises(TableError, match="changelog of fastdata-clicks: no acknowledgement"):
        await FaustTable(table, log).write({0: [(b"a", value(1))]})
    assert table.local.get(0, b"a") is None


async def test_a_value_with_a_smaller_stamp_is_not_written(table: ChangelogTable) -> None:
    log = Log()
    rows = FaustTable(table, log)
    await rows.write({0: [(b"a", value(5))]})
    await rows.write({0: [(b"a", value(4)), (b"b", value(1))]})

    assert rows.get(0, b"a") == value(5)
    assert log.rows == {0: [(b"a", value(5)), (b"b", value(1))]}


async def test_a_scan_gives_the_rows_of_a_prefix_in_order(table: ChangelogTable) -> None:
    rows = FaustTable(table, Log())
    await rows.write({0: [(b"b2", value(1)), (b"a", value(1)), (b"b1", value(1)), (b"c", None)]})

    assert [key for key, _ in rows.scan(0, b"b")] == [b"b1", b"b2"]


async def test_the_local_store_says_from_where_to_restore(tmp_path: Path) -> None:
    table = table_of(make("rocksdb://", tmp_path))
    await FaustTable(table, Log()).write({0: [(b"a", value(1)), (b"b", value(1))]})

    assert table.persisted_offset(TP(TOPIC, 0)) == 1
    assert table.persisted_offset(TP(TOPIC, 1)) == -1


async def test_a_local_store_of_another_changelog_begins_anew(tmp_path: Path) -> None:
    table = table_of(make("rocksdb://", tmp_path))
    await FaustTable(table, Log()).write({0: [(b"a", value(1)), (b"b", value(1))]})
    for known in (LogIdentity(), LogIdentity("here", "aa"), LogIdentity(), LogIdentity("here")):
        table.changelog = known  # what is not known makes no other log
        assert table.persisted_offset(TP(TOPIC, 0)) == 1
        table.local.put(0, {b"a": value(2)}, 1)

    table.changelog = LogIdentity("there", "bb")
    assert table.persisted_offset(TP(TOPIC, 0)) == -1
    assert list(table.local.scan(0, b"")) == []
    assert table.is_intact(0, 0, 9)
    table.local.put(0, {b"a": value(3)}, 0)
    assert table.persisted_offset(TP(TOPIC, 0)) == 0
    assert list(table.local.scan(0, b"")) == [(b"a", value(3))]


async def test_a_revoked_partition_is_not_opened_again_by_a_late_write(tmp_path: Path) -> None:
    table = table_of(make("rocksdb://", tmp_path))
    store = cast(Store, table.data)
    store.revoke_partitions(table, {TP(TOPIC, 0)})

    await FaustTable(table, Log()).write({0: [(b"a", value(1))]})

    assert list(store._dbs) == [1]
    with pytest.raises(TableError, match="partition 0 of fastdata-clicks is not open"):
        table.local.get(0, b"a")


@pytest.mark.parametrize(
    ("persisted", "log_start", "log_end", "is_intact"),
    [
        (None, 0, 0, True),
        (None, 0, 9, True),
        (None, 1, 9, False),  # the head of the changelog is gone
        (4, 5, 9, True),
        (4, 6, 9, False),  # and the local store does not have it
        (4, 0, 5, True),
        (4, 0, 3, False),  # the changelog is another one than the local store has seen
    ],
)
async def test_a_restore_is_intact_when_it_saw_every_change(
    tmp_path: Path, persisted: int | None, log_start: int, log_end: int, is_intact: bool
) -> None:
    table = table_of(make("rocksdb://", tmp_path))
    if persisted is not None:
        table.data.set_persisted_offset(TP(TOPIC, 0), persisted)
    table.persisted_offset(TP(TOPIC, 0))

    assert table.is_intact(0, log_start, log_end) is is_intact


def test_the_memory_of_rocksdb_is_shared_by_the_partitions() -> None:
    one, many = rocksdb_options(1), rocksdb_options(64)
    total = many["block_cache_size"] + many["write_buffer_size"] * 2

    assert 64 * total <= one["block_cache_size"] + one["write_buffer_size"] * 2


async def test_a_table_opens_no_more_stores_than_files_may_be_open(
    table: ChangelogTable, failures: Failures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))

    await table.on_rebalance(set(), set(), {TP(TOPIC, 0)})

    ((what, error),) = failures.seen
    assert what == "opening the state"
    assert "start more workers" in str(error)
