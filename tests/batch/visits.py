"""Visits of pages in a time zone: an archive of them, and a plain count by local dates."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from obstore.store import MemoryStore as ObjectStore

from fastdata import Count, Metric, Source, Uniques
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive
from fastdata.batch.replay import replay
from fastdata.batch.reports import MetricReport
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, floor_to, parse_instant, to_datetime
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.measures.estimates import Estimate
from fastdata.measures.presented import load_estimates
from fastdata.store.protocol import ServingStore
from fastdata.store.rollups import DAY, Marks, rollup_id, span_of_window

SCHEMA = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "page", "type": "string"},
        {"name": "visitor", "type": "int"},
    ],
}
Visit = tuple[int, str, int]  # ms UTC, page, visitor
Numbers = tuple[int, int]  # visits, visitors
EVER = (parse_instant("1990-01-01"), parse_instant("2040-01-01"))


class CountedStorage(ArchiveStorage):
    """Remembers what is read, created and listed."""

    def __init__(self) -> None:
        super().__init__(ObjectStore())
        self.read: list[str] = []
        self.created: list[str] = []
        self.listed: list[str] = []

    async def get(self, name: str) -> bytes | None:
        self.read.append(name)
        return await super().get(name)

    async def create(self, name: str, data: bytes) -> bool:
        is_new = await super().create(name, data)
        self.created += [name] * is_new
        return is_new

    async def names(self, prefix: str) -> list[str]:
        self.listed.append(prefix)
        return await super().names(prefix)

    def forget(self) -> None:
        for calls in (self.read, self.created, self.listed):
            calls.clear()


class Visits:
    """The source in a folder of its own, and its archive."""

    def __init__(
        self,
        folder: Path,
        rollups: Sequence[str],
        zone: str = "Europe/Berlin",
        by: Sequence[str | Sequence[str]] = ("page",),
        segment_size: int = 50,
    ) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "visit.avsc").write_text(json.dumps(SCHEMA))
        self.folder, self.by, self.zone = folder, by, zone
        self.source = Source(
            "visits", topic="visits", schema=str(folder / "visit.avsc"), time="at",
            segment_size=segment_size,
        )  # fmt: skip
        self.metric = self.declare(rollups)
        self.storage = CountedStorage()
        self.sent: list[Visit] = []

    def declare(self, rollups: Sequence[str]) -> Metric:
        return Metric(
            "pages", self.source, self.by,
            measures={"visits": Count(), "visitors": Uniques("visitor")},
            rollups=rollups, zone=self.zone,
        )  # fmt: skip

    async def archive(self, visits: Iterable[Visit], *, closes: bool = True) -> None:
        """Append events and close the last segment."""
        decoder = Decoder(self.source, FolderRegistry(self.folder))
        archive = PartitionArchive(self.storage, self.source, decoder, 0)
        offset = await archive.open(0)
        for at, page, visitor in visits:
            self.sent.append((at, page, visitor))
            value = encode(self.source.schema, {"at": at, "page": page, "visitor": visitor})
            archive.append(ArchivedRecord(offset, at, None, value))
            offset += 1
        size = self.source.segment_size
        if closes:
            archive.advance(-(-offset // size) * size)
        await archive.flush(force=True)

    async def replay(self, store: ServingStore, **options: object) -> MetricReport:
        """A replay in this process of the metric as it is declared last."""
        chosen: dict[str, object] = {"workers": 0, **options}
        report = await replay(
            [self.metric],
            store=store,
            archive=self.storage,
            **chosen,  # type: ignore[arg-type]
        )
        return report.metrics[0]

    async def ready(self, store: ServingStore, grain: str) -> dict[tuple[date, str], Numbers]:
        """By the last local date of a window and all dimensions, what is ready, and exact."""
        parsed = Grain.parse(grain)
        kept = await self.kept(store, parsed)
        if parsed.rolling == 1:
            small = await self.kept(store, DAY, is_small=True) if parsed == DAY else {}
            return {
                (self.local(window[1] - 1), dims): self.numbers(state)
                for window, states in kept.items()
                for dims, state in (states | small.get(window, {})).items()
            }
        days = await self.kept(store, DAY, is_small=True)
        found: dict[tuple[date, str], Numbers] = {}
        for window, estimates in kept.items():
            last = self.local(window[1] - 1)
            blobs: dict[str, list[bytes]] = defaultdict(list)
            for day in self.metric.calendar.windows(DAY, *window):
                for dims, state in days.get(day, {}).items():
                    blobs[dims].append(state)
            found |= {(last, dims): self.numbers(*states) for dims, states in blobs.items()}
            for dims, stored in estimates.items():
                found[last, dims] = numbers_of(load_estimates(stored))
        return found

    async def kept(
        self, store: ServingStore, grain: Grain, is_small: bool = False
    ) -> dict[tuple[int, int], dict[str, bytes]]:
        """By window, what is kept of those that are ready."""
        id = rollup_id(self.metric.id, grain, self.zone, is_small)
        marks = Marks(await store.heads(self.metric.id, *EVER))
        reading = await store.read(id, id, id, *EVER)
        kept: dict[int, dict[str, bytes]] = defaultdict(dict)
        for total in reading.totals:
            kept[total.window][total.dims] = total.state
        return {
            window: kept[window[0]]
            for window in self.metric.calendar.windows(grain, *self.extent())
            if (head := reading.heads.get(span_of_window(window[1])))
            and head.version == marks.of(*window)
        }

    def numbers(self, *stored: bytes) -> Numbers:
        states, *others = map(self.metric.load, stored)
        for other in others:
            self.metric.merge(states, other)
        return numbers_of(self.metric.estimate(states))

    def count(self, grain: str) -> dict[tuple[date, str], Numbers]:
        """What `ready` must be when all windows are, counted by local dates."""
        sets: dict[tuple[date, str], tuple[list[int], set[int]]] = defaultdict(lambda: ([], set()))
        newest = self.local(self.extent()[1] - 1)
        for at, page, visitor in self.sent:
            texts = {"[]", f'["{page}"]'} if self.by else {"[]"}
            if () in self.by:
                texts = {"[0]", f'[1,"{page}"]'}
            for last in windows_of(grain, self.local(at), newest):
                for text in texts:
                    visits, visitors = sets[last, text]
                    visits.append(at)
                    visitors.add(visitor)
        return {key: (len(visits), len(visitors)) for key, (visits, visitors) in sets.items()}

    def local(self, at: int) -> date:
        return to_datetime(at).astimezone(ZoneInfo(self.zone)).date()

    def extent(self) -> tuple[int, int]:
        """What gets heads: whole days of UTC."""
        times = [at for at, _, _ in self.sent]
        return floor_to(min(times), DAY_MS), floor_to(max(times), DAY_MS) + DAY_MS


def numbers_of(estimates: Sequence[Estimate]) -> Numbers:
    assert all(each.is_exact for each in estimates)
    visits, visitors = (each.value for each in estimates)
    assert isinstance(visits, int)
    assert isinstance(visitors, int)
    return visits, visitors


def windows_of(grain: str, day: date, newest: date) -> list[date]:
    """The last dates of the windows that hold a date, of rolling ones those that have begun."""
    match grain:
        case "day":
            return [day]
        case "week":
            return [day + timedelta(6 - day.weekday())]
        case "month":
            return [(day.replace(day=28) + timedelta(4)).replace(day=1) - timedelta(1)]
    days = int(grain[:-1])
    return [last for n in range(days) if (last := day + timedelta(n)) <= newest]


def local_ms(text: str, zone: str) -> int:
    """ms UTC of a local time."""
    return parse_instant(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))
