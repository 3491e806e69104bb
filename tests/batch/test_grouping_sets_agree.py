"""A metric with grouping sets answers as a plain one would, by both engines and while fresh."""

import asyncio
import io
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Count, Mean, Metric, Source, Sum, Uniques
from fastdata.answer.query import query
from fastdata.archive.avro_file import Records, build_object
from fastdata.batch.columnar.engine import fold_columns, is_columnar
from fastdata.batch.job import Job, JobResult, Piece
from fastdata.batch.row_engine import fold
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Measure
from fastdata.errors import QueryError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Total
from tests.speed.conftest import DictTable

START = parse_instant("2024-02-29")
TEXT = ["null", "string"]
FIELDS: dict[str, Any] = {
    "at": {"type": "long", "logicalType": "timestamp-millis"},
    "id": "string",
    "country": TEXT,
    "device": TEXT,
    "level": ["null", "int"],
    "user": TEXT,
    "amount": ["null", "long"],
    "tags": ["null", {"type": "array", "items": "string"}],
}
NO_TEXT = st.none() | st.sampled_from(["", "a", "0"])
EVENTS = st.fixed_dictionaries(
    {
        "at": st.sampled_from([0, 1, MINUTE_MS, HOUR_MS]).map(lambda after: START + after),
        "id": st.sampled_from("abcdefgh"),
        "country": NO_TEXT,
        "device": NO_TEXT,
        "level": st.none() | st.integers(0, 2),
        "user": NO_TEXT,
        "amount": st.none() | st.integers(-9, 9),
        "tags": st.none() | st.lists(st.sampled_from("ab"), max_size=3),
    }
)
PLAIN = {"country": "country", "device": "device", "level": "level"}
EXPRESSED = {"country": "coalesce(country, '')", "device": "nullif(device, 'a')", "level": "level"}
UNNESTED = {**PLAIN, "level": "unnest(tags)"}
SETS = st.lists(
    st.sampled_from([s for n in range(4) for s in combinations(PLAIN, n)]),
    min_size=1,
    max_size=5,
    unique=True,
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@pytest.fixture(scope="module")
def source(folder: Path) -> Source:
    path = folder / "event.avsc"
    fields = [{"name": name, "type": type} for name, type in FIELDS.items()]
    path.write_text(json.dumps({"type": "record", "name": "Event", "fields": fields}))
    return Source(
        "events", topic="events", schema=str(path), time="at", id="id", lateness="1d",
        segment_size=1_000,
    )  # fmt: skip


def jobs(source: Source, log: Sequence[dict[str, Any]], metrics: int) -> tuple[Job, Job]:
    records = Records(source.schema.canonical, 1)
    for offset, event in enumerate(log):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, source.schema.parsed, event)
        records.offsets.append(offset)
        records.datums.append(datum.getvalue())
    spans = Counter(event["at"] - event["at"] % HOUR_MS for event in log)
    wanted = {span: tuple(range(metrics)) for span in spans}
    rows = Piece(0, 0, records.schema, list(enumerate(records.datums)))
    columns = Piece(0, 0, records.schema, data=build_object("name", 0, records)[1])
    return Job(spans, wanted, [rows]), Job(spans, wanted, [columns], "columns")


async def stored(metrics: Sequence[Metric], folded: JobResult) -> MemoryStore:
    store = MemoryStore()
    for index, metric in enumerate(metrics):
        totals = {
            span: [Total(*row) for row in rows]
            for (of, span), rows in folded.totals.items()
            if of == index
        }
        await store.write_totals(metric.id, 1, totals)
        flips = [Flip(s, None, 1, Coverage({0: 1}), len(rows)) for s, rows in totals.items()]
        await store.publish(metric.id, flips)
    return store


async def fresh(
    folder: Path, source: Source, metrics: Sequence[Metric], log: Sequence[dict[str, Any]]
) -> MemoryStore:
    async def commit(offsets: object) -> bool:
        return True

    store = MemoryStore()
    layer = SpeedLayer(
        source,
        metrics,
        Decoder(source, FolderRegistry(folder)),
        table=DictTable(),
        store=store,
        dead_letters=None,  # type: ignore[arg-type]
        commit=commit,
        clock=lambda: START + 2 * HOUR_MS,
        max_cells=3,
    )
    await layer.open(0, None, 0, len(log))
    for offset, event in enumerate(log):
        layer.fold(0, Record(offset, START, None, encode(source.schema, event)))
    await layer.flush()
    return store


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EVENTS, min_size=1, max_size=25),
    SETS,
    st.sampled_from([PLAIN, EXPRESSED, UNNESTED]),
    st.sampled_from([None, "amount > 0"]),
)
def test_each_set_answers_as_a_plain_metric_would(
    folder: Path,
    source: Source,
    log: Sequence[dict[str, Any]],
    sets: Sequence[tuple[str, ...]],
    texts: dict[str, str],
    where: str | None,
) -> None:
    measures: dict[str, Measure] = {
        "n": Count("unnest(tags)" if texts is UNNESTED else None),
        "amount": Sum("amount"),
        "mean": Mean("amount"),
        "users": Uniques("user"),
    }
    by = {name: text for name, text in texts.items() if any(name in each for each in sets)}
    asked = [names for n in range(4) for names in combinations(by, n)]
    plain = [Metric("p", source, {n: texts[n] for n in own}, measures, where) for own in asked]
    metric = Metric("m", source, by, measures, where, rollups=["day"], grouping_sets=sets)
    metrics = [metric, *plain]
    rows, columns = jobs(source, log, len(metrics))
    assert is_columnar(metric, [source.schema.canonical])
    by_rows = fold(metrics, rows)
    assert fold_columns(metrics, columns) == by_rows

    async def check() -> None:
        for store in (await stored(metrics, by_rows), await fresh(folder, source, metrics, log)):
            for names, other in zip(asked, plain, strict=True):
                if not any(set(names) <= set(each) for each in sets):
                    with pytest.raises(QueryError, match="no grouping set"):
                        await query(metric, by=names, store=store)
                    continue
                for every in ("1m", "all"):
                    ours = await query(metric, every=every, by=names, store=store)
                    theirs = await query(other, every=every, by=names, store=store)
                    assert ours.to_pylist() == theirs.to_pylist()

    asyncio.run(check())
