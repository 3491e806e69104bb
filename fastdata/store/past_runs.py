"""What runs that are over did: the newest of each metric, kept beside its totals.

They are for people alone. No answer depends on them, and what could not be written of them is
missing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from fastdata.coordinates.instants import to_iso
from fastdata.store.kept import change_kept, read_kept
from fastdata.store.protocol import ServingStore

__all__ = ["MOST_RUNS", "PastRun", "add_past_run", "next_run", "past_runs"]

MOST_RUNS = 50
"""So many are kept of a metric."""


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
    return _load(await read_kept(store, _id(metric)))


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

    async def added(text: bytes | None) -> bytes:
        return _dump([run, *(past for past in _load(text) if not _is_replaced(past, run))])

    await change_kept(store, _id(metric), added)


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
    return documents.encode(errors="replace")  # names of files may be no UTF-8


def _load(text: bytes | None) -> list[PastRun]:
    """The runs of a text; what a later fastdata says of them besides is left out."""
    if text is None:
        return []
    names = {field.name for field in fields(PastRun)}
    return [
        PastRun(**{name: value for name, value in run.items() if name in names})
        for run in json.loads(text)
    ]
