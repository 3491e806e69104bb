"""The state of the partitions that a worker owns: cells in memory over a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from fastdata.coordinates.dimensions import Dimensions, dump_dims
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.speed.keys import (
    StateRow,
    cell_key,
    cell_prefix,
    ids_prefix,
    segment_prefix,
    unstamp,
)
from fastdata.speed.repeats import Repeats
from fastdata.store.protocol import NEVER, Progress

__all__ = [
    "Cell",
    "CellKey",
    "Cells",
    "DeadLetter",
    "DeadLetters",
    "Partition",
    "Record",
    "StateTable",
]

_OBJECT_BYTES = 1_024  # of one in memory, beside its own bytes

CellKey = tuple[int, int, int, Dimensions]  # metric, segment, window, dimensions


class StateTable(Protocol):
    """Rows of state per partition, made durable by a changelog."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The local value of a key."""

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Local rows whose key begins with `prefix`, ordered by key."""

    async def write(self, rows: Mapping[int, Sequence[StateRow]]) -> None:
        """Write rows per partition, in order; None deletes.

        Durable when it returns: the changelog has acknowledged all, and the local store has
        them. A value with a smaller stamp than the stored one is not written; a cell never has
        one, since `Cells` goes on from what is stored.

        Raises:
            TableError: Some may be written, some not; the worker must stop.
        """


@dataclass(slots=True)
class Record:
    """One record of the log, as aiokafka names its parts.

    Attributes:
        timestamp: The log's, ms UTC, and not the event's time; None or -1 when it has none.
    """

    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"")
        return size


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be read, with the reason.

    Attributes:
        stage: Which step of reading failed; `reason` says why in one word, `detail` in a text.
    """

    topic: str
    partition: int
    record: Record
    stage: str
    reason: str
    detail: str


class DeadLetters(Protocol):
    """Where records go that cannot be read."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send them; durable when it returns. At least once.

        Raises:
            BrokerError: They could not be sent; the worker must stop.
        """


@dataclass(slots=True)
class Cell:
    """The states of one (metric, window, dimensions, segment) of a partition.

    Attributes:
        row_key: The key of its row in the table.
        dims: Canonical JSON of its dimensions.
        stamp: The last offset that is folded in.
        is_dirty: Whether the next flush has to write it.
    """

    states: States
    row_key: bytes
    dims: str
    stamp: int = -1
    is_dirty: bool = False


class Cells:
    """Cells of one partition: a write-behind cache over the table. Not for concurrent use.

    A changed cell stays in memory until a flush has written it; a clean one may be forgotten.

    Attributes:
        in_memory: Looks a cell up without the table.
    """

    def __init__(self, partition: int, metrics: Sequence[Metric], table: StateTable) -> None:
        self._partition = partition
        self._metrics = metrics
        self._table = table
        self._ids = [metric.id for metric in metrics]
        self._prefixes = [cell_prefix(partition, name) for name in self._ids]
        # By metric: the newest segment, and whether memory has all that the table has of it.
        self._newest: dict[int, tuple[int, bool]] = {}
        self._cells: dict[CellKey, Cell] = {}
        self.in_memory: Callable[[CellKey], Cell | None] = self._cells.get
        self._dirty: dict[CellKey, Cell] = {}

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def dirty(self) -> int:
        """How many cells wait for the next flush."""
        return len(self._dirty)

    def walk(self) -> Iterator[tuple[int, Cell]]:
        """The cells in memory, each with the index of its metric; nothing may change meanwhile."""
        return ((key[0], cell) for key, cell in self._cells.items())

    def find(self, key: CellKey) -> Cell | None:
        """The cell of a key, from memory or from the table; None when neither has it.

        Raises:
            CorruptStateError: The stored bytes do not verify.
        """
        cell = self._cells.get(key)
        if cell is None and self._may_be_stored(key):
            cell = self._load(key, *self._row_key_and_dims(key))
            if cell is not None:
                self._cells[key] = cell
        return cell

    def find_or_make(self, key: CellKey) -> Cell:
        """The cell of a key, empty when there is none.

        Raises:
            CorruptStateError: The stored bytes do not verify.
        """
        cell = self._cells.get(key)
        if cell is None:
            row_key, dims = self._row_key_and_dims(key)
            if self._may_be_stored(key):
                cell = self._load(key, row_key, dims)
            if cell is None:
                cell = Cell(self._metrics[key[0]].zero(), row_key, dims)
            self._cells[key] = cell
        return cell

    def mark(self, key: CellKey, cell: Cell) -> None:
        """Have the next flush write a cell."""
        if not cell.is_dirty:
            cell.is_dirty = True
            self._dirty[key] = cell

    def take_dirty(self) -> list[tuple[CellKey, Cell]]:
        """The cells that changed since the last call; the caller must write them, or end."""
        taken = list(self._dirty.items())
        self._dirty.clear()
        for _, cell in taken:
            cell.is_dirty = False
        return taken

    def evict(self, keep: int) -> None:
        """Forget the oldest clean cells beyond `keep` cells. Call it when they are in the table."""
        surplus = len(self._cells) - keep
        if surplus <= 0:
            return
        clean = (key for key, cell in self._cells.items() if not cell.is_dirty)
        self._forget([key for key, _ in zip(clean, range(surplus), strict=False)])

    def drop(self, keys: set[bytes]) -> None:
        """Forget the cells of these rows, changed or not."""
        dropped = [key for key, cell in self._cells.items() if cell.row_key in keys]
        self._forget(dropped)
        for key in dropped:
            self._dirty.pop(key, None)

    def _forget(self, keys: Sequence[CellKey]) -> None:
        for key in keys:
            del self._cells[key]
        for index, segment in {key[:2] for key in keys}:
            if self._newest.get(index, (-1, False))[0] == segment:
                self._newest[index] = segment, False

    def _may_be_stored(self, key: CellKey) -> bool:
        """Whether the table may have a cell that is not in memory.

        Of a segment that has just begun it has none. To ask it for each new cell costs more than
        all else that is done for one, and nearly each event may make one.
        """
        index, segment, _, _ = key
        newest, is_whole = self._newest.get(index, (-1, False))
        if segment > newest:
            prefix = segment_prefix(self._prefixes[index], segment)
            is_whole = next(self._table.scan(self._partition, prefix), None) is None
            self._newest[index] = segment, is_whole
            return not is_whole
        return segment < newest or not is_whole

    def _row_key_and_dims(self, key: CellKey) -> tuple[bytes, str]:
        index, segment, window, values = key
        dims = _text_of(self._ids[index], values)
        return cell_key(self._prefixes[index], segment, window, dims), dims

    def _load(self, key: CellKey, row_key: bytes, dims: str) -> Cell | None:
        value = self._table.get(self._partition, row_key)
        if value is None:
            return None
        metric = self._metrics[key[0]]
        try:
            stamp, blob = unstamp(value)
            return Cell(metric.load(blob), row_key, dims, stamp)
        except CorruptStateError as error:
            raise CorruptStateError(
                f"the state of {metric.id} in partition {self._partition}, segment {key[1]} does "
                f"not verify: {error}; stop the worker, remove its state folder and start again: "
                "the state is restored from the changelog"
            ) from error


@lru_cache(maxsize=20_000)
def _text_of(metric: str, dims: Dimensions) -> str:
    # Each minute has the same ones again. Of a metric, since True and 1 are one key.
    return dump_dims(dims)


@dataclass(slots=True)
class Partition:
    """What a worker knows of one partition that it owns. Not for concurrent use.

    Attributes:
        position: The next offset to fold.
        durable: The position of the last flush that came through, of an owner before at first.
        watermark: The largest event time seen, ms UTC, never ahead of the clock and skew.
        written: The timestamp of the last record folded, ms UTC.
        log_end: The end of the log, as far as it is known.
        end_seen: When that was its end, ms UTC.
        caught_up: When an end was seen last up to which all is folded, ms UTC.
        vouched: Events before this offset were judged and folded before the start: the marker of
            the state that was found vouches for them.
        new_metrics: Metrics, by index, that the marker does not know.
        stored: What the store is known to have of it; None when it has nothing of it.
        letters: Dead letters that wait for the next flush.
        outgoing: Events that wait for it to be sent on.
        outgoing_bytes: What they take in memory, about.
        sent: Events before this offset were sent on, or are none that are.
        id_rows: First and last offsets of the rows with event ids in the table.
        epoch: Which log it is of, for its progress.
    """

    number: int
    cells: Cells
    repeats: Repeats
    position: int
    durable: int
    watermark: int = NEVER
    written: int = NEVER
    log_end: int = 0
    end_seen: int = NEVER
    caught_up: int = NEVER
    vouched: int = 0
    new_metrics: frozenset[int] = frozenset()
    stored: Progress | None = None
    letters: list[DeadLetter] = field(default_factory=list)
    outgoing: list[Record] = field(default_factory=list)
    outgoing_bytes: int = 0
    sent: int = 0
    id_rows: dict[int, int] = field(default_factory=dict)
    epoch: str = ""

    def send_on(self, event: Record) -> None:
        """Have the next flush send an event on, unless that was done."""
        if event.offset >= self.sent:
            self.outgoing.append(event)
            self.outgoing_bytes += event.size + _OBJECT_BYTES

    def restore_ids(self, table: StateTable) -> None:
        """Remember the event ids that the table has.

        Raises:
            CorruptStateError: A row is too short.
        """
        prefix = ids_prefix(self.number)
        rows = []
        for key, value in table.scan(self.number, prefix):
            first = int.from_bytes(key[len(prefix) :], "big")
            last, payload = unstamp(value)
            rows.append((first, payload))
            self.id_rows[first] = last
        self.repeats.restore(rows)

    @property
    def is_at_end(self) -> bool:
        """Whether everything is folded that was in the log when its end was seen last."""
        return self.position >= self.log_end and self.end_seen > NEVER

    @property
    def read_from(self) -> int:
        """The next offset to fetch: behind a gap, `position` may be an edge yet to come."""
        return min(self.position, self.log_end)

    def see_end(self, log_end: int, at: int) -> None:
        """Learn where the log ended, and when that was, ms UTC."""
        if self.is_at_end:
            # What was folded up to then stays so, whatever has been written since.
            self.caught_up = self.end_seen
        self.log_end, self.end_seen = log_end, at

    @property
    def read_until(self) -> int:
        """All that was written to the log before is folded, ms UTC; see `Progress`."""
        return self.end_seen if self.is_at_end else max(self.written, self.caught_up)

    def progress(self, topic: str, now: int) -> Progress:
        """How far it is folded, for readers.

        Args:
            now: ms UTC.
        """
        read_until = self.read_until
        # Who has just begun does not know it yet: at the same offset the report before stays.
        updated = now if read_until > NEVER else NEVER
        return Progress(
            topic, self.number, self.position, self.watermark, updated, read_until, self.is_at_end,
            self.epoch,
        )  # fmt: skip

    @property
    def is_changed(self) -> bool:
        """Whether a flush has something to write."""
        return self.position != self.durable or self.cells.dirty > 0 or bool(self.letters)
