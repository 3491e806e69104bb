"""What `fastdata dev` says of both layers while they run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fastdata.archive import ArchiveStorage
from fastdata.cli.dev_log import DevLog
from fastdata.coordinates.instants import HOUR_MS, floor_to, now_ms, to_iso
from fastdata.declare.catalog import Catalog
from fastdata.errors import StoreError
from fastdata.operate.log_reader import LogReader
from fastdata.operate.status import PartitionStatus, SourceStatus, Status, StatusReader
from fastdata.store.protocol import EVER, Partial, ServingStore

__all__ = ["DevMoment", "DevView", "Ends"]

_LIFE_S = 10.0

Ends = Mapping[tuple[str, int], int]
"""By source and partition of Kafka, the offset after the last event."""


@dataclass(frozen=True, slots=True)
class DevMoment:
    """All sources at one moment.

    Attributes:
        at_s: By a monotonic clock.
    """

    status: Status
    at_s: float

    @property
    def ends(self) -> Ends:
        """Where the log ends."""
        return {(s.source, p.partition): p.log_end or 0 for s, p in self._partitions()}

    @property
    def events(self) -> int:
        """In the log, since the broker has it."""
        return sum(self.ends.values())

    @property
    def folded(self) -> int:
        """Events folded, durably."""
        return sum(p.folded or 0 for _, p in self._partitions())

    @property
    def archived(self) -> int:
        """Events that are durable in the archive."""
        return sum(p.archived or 0 for _, p in self._partitions())

    @property
    def is_read(self) -> bool:
        """Whether a worker follows each partition."""
        parts = self._partitions()
        return bool(parts) and all(p.read_age_s is not None for _, p in parts)

    def slowest(self, topic: str) -> dict[int, int]:
        """Per partition how far the slower of worker and archiver is, as an offset."""
        read: dict[int, int] = {}
        for source, p in self._partitions():
            if source.topic == topic:
                offset = min(p.folded or 0, p.archived or 0)
                read[p.partition] = min(offset, read.get(p.partition, offset))
        return read

    def has_reached(self, ends: Ends) -> bool:
        """Whether both layers have all that is before, and a worker follows each partition.

        Without one no answer is exact, for nobody knows whether there is more.
        """
        read = {
            (s.source, p.partition): min(p.folded or 0, p.archived or 0)
            for s, p in self._partitions()
        }
        return self.is_read and all(read.get(place, 0) >= end for place, end in ends.items())

    def counted(self, ends: Ends) -> int:
        """How many of the events before are in exact totals, or of no metric."""
        return sum(
            min(p.covered or 0, ends.get((s.source, p.partition), 0))
            if s.runs
            else ends.get((s.source, p.partition), 0)
            for s, p in self._partitions()
        )

    def left_out(self) -> str:
        """What was not folded, and what may be missing."""
        counts = Counter[str]()
        for source in self.status.sources:
            for reason, count in source.unfolded.items():
                name = "dead letters" if reason.startswith("dead:") else reason
                counts[name] += count
            counts["gaps"] += len(source.gaps)
        texts = [f"{counts.pop('dead letters', 0):,} dead letters"]
        if before := sum(sum(source.dead_before.values()) for source in self.status.sources):
            texts[0] += f" ({before:,} of an earlier log)"
        texts += [f"{count:,} {name}" for name, count in sorted(counts.items()) if count]
        return ", ".join([*texts, *self.status.problems])

    def _partitions(self) -> list[tuple[SourceStatus, PartitionStatus]]:
        return [(s, p) for s in self.status.sources for p in s.partitions]


class DevView:
    """Reads both layers again and again, and says a line of life every ten seconds.

    Args:
        began_s: When the command was started, by a monotonic clock.
        addresses: Said when a worker follows each partition.
    """

    def __init__(
        self,
        sources: tuple[ServingStore, ArchiveStorage, LogReader],
        log: DevLog,
        began_s: float,
        addresses: Mapping[str, str],
    ) -> None:
        self._sources = sources
        self._log = log
        self._began_s = began_s
        self._addresses = addresses
        self._is_ready = False
        self._is_first_said = False
        self._sent_s: float | None = None
        self._last = began_s, 0

    def show(self, catalog: Catalog) -> None:
        """Look at these declarations from now on."""
        store, archive, log_reader = self._sources
        self._catalog = catalog
        self._reader = StatusReader(catalog, store=store, archive=archive, log=log_reader)

    async def look(self, *, is_brief: bool = True) -> DevMoment:
        """What there is now; a brief look knows nothing of exact totals and what was left out."""
        status = await self._reader.read(now_ms(), is_brief=is_brief)
        return DevMoment(status, time.monotonic())

    async def tell(self, moment: DevMoment) -> None:
        """Say what is new in a moment, and each ten seconds how all is going."""
        took_s = moment.at_s - self._began_s
        if not self._is_ready and moment.is_read:
            self._is_ready = True
            where = ", ".join(f"{name} {address}" for name, address in self._addresses.items())
            self._log.say(f"ready in {took_s:.1f} s: {where}", took_s=took_s, **self._addresses)
        if self._sent_s is None and moment.events:
            self._sent_s = moment.at_s
        if not self._is_first_said and moment.folded:
            self._is_first_said = True
            took_s = moment.at_s - (self._sent_s or moment.at_s)
            text = f"first numbers {took_s:.1f} s after the first event"
            self._log.say(f"{text}: {await self._asked(now_ms())}", took_s=took_s)
        at_s, folded = self._last
        if moment.at_s - at_s >= _LIFE_S:
            per_s = max(0, moment.folded - folded) / (moment.at_s - at_s)
            self._last = moment.at_s, moment.folded
            self._say_life(await self.look(is_brief=False), per_s)

    async def _asked(self, now: int) -> str:
        """A query of all that there is but for what is in progress, and would not be exact."""
        metric = next(iter(self._catalog.metrics.values()), None)
        if metric is None:
            return "fastdata query NAME --every all"
        newest: Sequence[Partial] = ()
        with suppress(StoreError):
            newest = await self._sources[0].partials(metric.id, floor_to(now, HOUR_MS), EVER[1])
        until, width = "", metric.window_ms
        if newest:
            begun = floor_to(now, width)
            is_all_new = all(partial.window >= begun for partial in newest)
            until = f" --to {to_iso(begun + is_all_new * width, 'minutes')}"
        return f"fastdata query {metric.name} --every all{until}"

    def _say_life(self, moment: DevMoment, per_s: float) -> None:
        events, counted = moment.events, moment.counted(moment.ends)
        lag = max(0, events - moment.folded)
        exact = f"{counted:,} of {events:,} counted exactly"
        if counted == events and not moment.status.problems:
            exact = "all counted exactly"
        self._log.say(
            f"{per_s:,.0f} events/s, lag {lag:,}, {exact}, {moment.left_out()}",
            events_per_s=round(per_s, 1), lag=lag, events=events, folded=moment.folded,
            archived=moment.archived, counted=counted,
            unfolded={s.source: s.unfolded for s in moment.status.sources},
        )  # fmt: skip
