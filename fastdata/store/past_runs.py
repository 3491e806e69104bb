"""What runs that are over did: the newest of each metric, kept beside its totals.

They lie in the serving store as the one total of a metric of its own, as ready windows do: every
store has them without a table more, and an earlier fastdata neither reads them nor minds. They are
for people alone. No answer depends on them, and what could not be written of them is missing.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS, to_iso
from fastdata.coordinates.segments import Coverage
from fastdata.errors import CorruptStateError, SpanConflictError
from fastdata.store.protocol import Flip, Head, ServingStore

__all__ = ["MOST_RUNS", "PastRun", "add_past_run", "next_run", "past_runs"]

MOST_RUNS = 50
"""So many are kept of a metric."""

_HEAD, _VERSION = struct.Struct(">BI"), 1  # and the CRC-32 of what follows
_SPAN = 0
_TRIES = 5


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a run did of one metric: a replay, or a verification.

    Attributes:
        began: ms UTC of the machine's clock.
        took_s: Seconds, for all metrics that were run together.
        number: Of the run in the store; None when there was nothing to do, or of a verification.
        start: Of the first hour that it was about, ms UTC; equal to `end` when there was none.
        end: Of the last one, exclusive.
        counted: Hours that were counted from the archive; of a verification, in which the speed
            layer was compared.
        confirmed: Hours with nothing new; of a verification, those that were not compared.
        events: Of the hours that were counted.
        objects: Read from the archive, for all metrics of the source together.
        object_bytes: Of their events, as Avro before compression.
        error: Why it failed; what it had published until then stays. Of a verification, how much
            nothing explains.
        next: When a schedule comes again at the latest, ms UTC; None when none is known to.
    """

    began: int
    took_s: float
    number: int | None = None
    start: int = 0
    end: int = 0
    counted: int = 0
    confirmed: int = 0
    events: int = 0
    objects: int = 0
    object_bytes: int = 0
    error: str | None = None
    next: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return self.error is None and not self.counted and not self.confirmed

    @property
    def result(self) -> str:
        """What came of it, in a few words."""
        hours = "hour" if self.counted == 1 else "hours"
        done = f"{self.counted:,} {hours} counted, {self.confirmed:,} confirmed"
        if self.error is not None:
            return f"failed: {self.error}" + ("" if self.number is None else f" ({done})")
        return "nothing to do" if self.is_idle else done

    def as_dict(self) -> dict[str, object]:
        """For JSON; instants as ISO text."""
        moments = {
            name: None if (time_ms := getattr(self, name)) is None else to_iso(time_ms)
            for name in ("began", "start", "end", "next")
        }
        if self.start == self.end:
            moments |= {"start": None, "end": None}
        return asdict(self) | moments


async def past_runs(store: ServingStore, metric: str) -> list[PastRun]:
    """The runs of a metric that are over, the newest first.

    Args:
        metric: Id of its definition.

    Raises:
        CorruptStateError: They do not verify; the next run that ends heals it.
        StoreError: The store failed.
    """
    id = _id(metric)
    _, state = await _read(store, id)
    return _load(state, id)


async def add_past_run(store: ServingStore, metric: str, run: PastRun) -> None:
    """Keep one more. Atomic.

    One that had nothing to do is kept until there is a newer one; of a schedule, until that comes
    again.

    Args:
        metric: Id of its definition.

    Raises:
        SpanConflictError: Others kept adding theirs; this one is not kept.
        StoreUnavailableError: It is not kept.
        CommitUnknownError: Nobody knows whether it is.
    """
    id = _id(metric)
    for tried in range(_TRIES):
        head, stored = await _read(store, id)
        try:
            before = _load(stored, id)
        except CorruptStateError:
            before = []
        state = _dump([run, *(past for past in before if not _is_replaced(past, run))])
        mark = int.from_bytes(hashlib.sha256(state).digest()[:8], "big") >> 1
        if head is not None and head.version == mark:
            return
        expected = (head.version, head.coverage) if head else None
        try:
            rows = await store.write_totals(id, mark, {_SPAN: [(_SPAN, dump_dims(()), state)]})
            await store.publish(id, [Flip(_SPAN, expected, mark, Coverage(), rows[_SPAN])])
        except SpanConflictError:
            if tried == _TRIES - 1:
                raise
        else:
            break
    await store.clean_up(id, _SPAN, _SPAN + HOUR_MS)


def next_run(runs: Sequence[PastRun]) -> int | None:
    """When a schedule comes again at the latest, as its newest run said, ms UTC; None for never.

    Args:
        runs: The newest first.
    """
    return next((run.next for run in runs if run.next is not None), None)


def _id(metric: str) -> str:
    return f"{metric}:runs"


def _is_replaced(past: PastRun, run: PastRun) -> bool:
    """Whether a run that had nothing to do says nothing more once there is a newer one."""
    return past.is_idle and (past.next is None or run.next is not None)


def _dump(runs: Sequence[PastRun]) -> bytes:
    documents = json.dumps([asdict(run) for run in runs[:MOST_RUNS]], ensure_ascii=False)
    text = documents.encode(errors="replace")  # names of files may be no UTF-8
    return _HEAD.pack(_VERSION, zlib.crc32(text)) + text


async def _read(store: ServingStore, id: str) -> tuple[Head | None, bytes | None]:
    reading = await store.read(id, id, id, _SPAN, _SPAN + HOUR_MS)
    state = next((total.state for total in reading.totals), None)
    return reading.heads.get(_SPAN), state


def _load(state: bytes | None, id: str) -> list[PastRun]:
    """The runs of a state; what a later fastdata says of them besides is left out.

    Raises:
        CorruptStateError: It does not verify.
    """
    if state is None:
        return []
    head, text = state[: _HEAD.size], state[_HEAD.size :]
    if head != _HEAD.pack(_VERSION, zlib.crc32(text)):
        raise CorruptStateError(
            f"what is stored as {id} does not verify: the next one that ends begins anew"
        )
    names = {field.name for field in fields(PastRun)}
    return [
        PastRun(**{name: value for name, value in run.items() if name in names})
        for run in json.loads(text)
    ]
