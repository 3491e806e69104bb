"""A small source declared in a file, an archive of it, and what a plain count says."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastdata import load
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.batch.reports import ReplayReport
from fastdata.coordinates.dimensions import load_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, parse_instant
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from fastdata.store.protocol import Head, ServingStore

SCHEMA = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "sale_id", "type": ["null", "string"]},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "shop", "type": ["null", "string"]},
        {"name": "amount", "type": "int"},
        {"name": "buyer", "type": ["null", "string"]},
    ],
}
DECLARATION = """
from fastdata import Count, Metric, Source, Sum, Uniques

sales = Source(
    "sales", topic="sales", schema="sale.avsc", time="at", id="sale_id", segment_size=SEGMENT
)

@sales.map
def without_tests(event):
    return None if event["shop"] == "test" else event

by_shop = Metric(
    "by_shop", sales, by=["shop"],
    measures={"sales": Count(), "amount": Sum("amount"), "buyers": Uniques("buyer")},
    ROLLUPS
)
in_all = Metric("in_all", sales, measures={"sales": Count()})
"""
DAY = parse_instant("2013-01-01")
Key = tuple[int, str | None]  # start of the minute, shop
Numbers = tuple[int, int, int]  # sales, amount, buyers


@dataclass(frozen=True, slots=True)
class Sale:
    """One event; `minute` counts from `DAY`."""

    id: str | None
    minute: int | None
    shop: str | None = "north"
    amount: int = 1
    buyer: str | None = None

    def encode(self, schema: Schema) -> bytes:
        at = None if self.minute is None else DAY + self.minute * MINUTE_MS
        record = {"sale_id": self.id, "at": at, "shop": self.shop}
        return encode(schema, record | {"amount": self.amount, "buyer": self.buyer})


class Sales:
    """The source in a folder of its own, and its archive.

    Args:
        rollups: What the declaration of `by_shop` has of them.
    """

    def __init__(
        self,
        folder: Path,
        storage: ArchiveStorage | None = None,
        segment_size: int = 4,
        rollups: str = "",
    ) -> None:
        self.folder = folder
        (folder / "agents").mkdir(parents=True, exist_ok=True)
        (folder / "schemas").mkdir(exist_ok=True)
        (folder / "agents" / "sale.avsc").write_text(json.dumps(SCHEMA))
        (folder / "schemas" / "sale.avsc").write_text(json.dumps(SCHEMA))
        self.file = folder / "agents" / "sales.py"
        declaration = DECLARATION.replace("SEGMENT", str(segment_size))
        self.file.write_text(declaration.replace("ROLLUPS", rollups))
        module = load(self.file)
        self.by_shop: Metric = module.by_shop
        self.in_all: Metric = module.in_all
        self.source = self.by_shop.source
        self.storage = storage or open_archive_storage("memory:///")

    async def archive(
        self,
        sales: Sequence[Sale],
        partition: int = 0,
        *,
        log_start: int = 0,
        closes: bool = True,
    ) -> None:
        """Append events and close the last segment; the log has deleted all before its start."""
        decoder = Decoder(self.source, FolderRegistry(self.folder / "schemas"))
        archive = PartitionArchive(self.storage, self.source, decoder, partition)
        start = await archive.open(log_start)
        for offset, sale in enumerate(sales, start):
            archive.append(ArchivedRecord(offset, DAY, None, sale.encode(self.source.schema)))
        size = self.source.segment_size
        if closes:
            archive.advance(-(-(start + len(sales)) // size) * size)
        await archive.flush(force=True)

    async def replay(
        self, store: ServingStore, *metrics: Metric, **options: object
    ) -> ReplayReport:
        """A replay in this process, of `by_shop` unless others are named."""
        chosen: dict[str, object] = {"workers": 0, **options}
        return await replay(
            metrics or [self.by_shop],
            store=store,
            archive=self.storage,
            **chosen,  # type: ignore[arg-type]
        )

    async def heads(self, store: ServingStore) -> dict[int, Head]:
        """Of `by_shop`, by hour of `DAY`."""
        heads = await store.heads(self.by_shop.id, DAY, DAY + DAY_MS)
        return {(span - DAY) // HOUR_MS: head for span, head in heads.items()}

    async def shown(self, store: ServingStore) -> dict[Key, Numbers]:
        """What batch shows readers of `by_shop`."""
        source = self.source
        reading = await store.read(
            self.by_shop.id, unfolded_of(source).id, source.topic, 0, DAY + DAY_MS
        )
        return {
            (total.window, str_or_none(load_dims(total.dims)[0])): self.numbers(total.state)
            for total in reading.totals
        }

    def numbers(self, state: bytes) -> Numbers:
        """The exact measures of a stored state."""
        states = self.by_shop.load(state)
        estimates = [a.present(s) for a, s in zip(self.by_shop.aggregates, states, strict=True)]
        assert all(estimate.is_exact for estimate in estimates)
        sales, amount, buyers = (estimate.value for estimate in estimates)
        assert isinstance(sales, int)
        assert isinstance(amount, int)
        assert isinstance(buyers, int)
        return sales, amount, buyers


def str_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def count(partitions: Mapping[int, Iterable[Sale]]) -> dict[Key, Numbers]:
    """A plain count, with repeats of an id within the hour and the test shop left out."""
    seen: set[tuple[int, str]] = set()
    sales: dict[Key, list[Sale]] = defaultdict(list)
    for partition in sorted(partitions):
        for sale in partitions[partition]:
            if sale.minute is None:
                continue
            if sale.id is not None:
                if (sale.minute // 60, sale.id) in seen:
                    continue
                seen.add((sale.minute // 60, sale.id))
            if sale.shop != "test":
                sales[DAY + sale.minute * MINUTE_MS, sale.shop].append(sale)
    return {
        key: (
            len(some),
            sum(sale.amount for sale in some),
            len({sale.buyer for sale in some} - {None}),
        )
        for key, some in sales.items()
    }


# Six events of three hours, with a repeat, one that is dropped and one without a time.
FIRST = [
    Sale("a", 61, "north", 5, "ann"),
    Sale("b", 2, "south", 7, "bob"),
    Sale("a", 61, "north", 5, "ann"),
    Sale("c", 130, None, 1, "cem"),
    Sale("t", 3, "test", 100),
    Sale("d", None),
]
SECOND = [Sale("e", 2, "south", 1, "eve"), Sale("b", 2, "south", 7, "bob")]
LATER = [Sale("f", 3, "north", 4, "ann"), Sale("g", 70, "south", 2, "gil")]
