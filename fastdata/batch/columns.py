"""The columnar engine: the totals of the row engine, by DataFusion, for metrics without Python.

Of each object only the columns that are needed are read, and one query a metric groups them. A
measure that has no exact form in SQL folds its values with its own `add`.
"""
# ruff: noqa: S608 - names are those of Avro, which have letters, digits and _ only.

import json
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import SessionConfig, SessionContext

from fastdata.archive.containers import read_offsets
from fastdata.batch.forms import Argument, Form, form_of
from fastdata.batch.rows import Folded, Job, Piece, Row, check_counts, without_collector
from fastdata.decoding import EARLIEST_MS, LATEST_MS
from fastdata.expressions import (
    ELEMENT,
    Column,
    Node,
    is_too_large,
    nodes_of,
    quote_name,
    to_folded_sql,
)
from fastdata.metric import Metric, dump_dims
from fastdata.schemas import Schema
from fastdata.source import Source
from fastdata.windows import HOUR_MS

__all__ = ["fold_columns", "is_columnar"]

# No field of Avro can have such a name.
_TIME, _HOUR, _PLACE, _FIRST = "0time", "0hour", "0place", "0first"
_OFFSET_BITS = 48
# Groups whose states are Python objects at the same time.
_STATES = 20_000
_OPTIONS = {"datafusion.sql_parser.map_string_types_to_utf8view": "false"}
_SQL = {
    "int": "CAST({} AS BIGINT)",
    "float": "CAST({} AS DOUBLE)",
    "string": "CAST({} AS VARCHAR)",
    "bool": "{}",
    "decimal": "{}",
    "timestamp": "arrow_cast({}, 'Int64')",
    "date": "CAST(arrow_cast({}, 'Int32') AS BIGINT)",
}
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_LOGICAL = {None, "timestamp-millis", "timestamp-micros", "date", "decimal"}


def is_columnar(metric: Metric, schemas: Iterable[str]) -> bool:
    """Whether this engine can compute a metric.

    Args:
        schemas: Canonical JSON of the schemas that the events were written with.
    """
    source = metric.source
    if source.mapper is not None or source.reader is not None:
        return False
    if any(is_too_large(node) for node in metric.selection.nodes):
        return False
    mine = {name: _form(source.schema, name) for name in _fields_of([metric])}
    if not all(map(_is_known, schemas := list(schemas))):
        return False
    written = [Schema.parse(text) for text in schemas]
    return all(
        form is not None and all(_form(schema, name) == form for schema in written)
        for name, form in mine.items()
    )


@lru_cache(maxsize=1024)
def _is_known(schema: str) -> bool:
    """Whether DataFusion has all types of a schema; with one that it has not, it reads none."""
    with tempfile.TemporaryDirectory(prefix="fastdata-") as folder:
        path = Path(folder, "empty.avro")
        with path.open("wb") as file:
            fastavro.writer(file, json.loads(schema), [])
        try:
            SessionContext().read_avro(str(path)).to_arrow_table()
        except Exception:  # noqa: BLE001  (whatever it says, the row engine can)
            return False
    return True


@without_collector()
def fold_columns(metrics: Sequence[Metric], job: Job) -> Folded:
    """The exact totals of a job's spans, as `fold` gives them.

    Args:
        metrics: Of one source, all columnar for the schemas of the job.

    Raises:
        ReplayError: A span has not the number of events that the manifest says.
        MapError: As for `fold`.
    """
    source = metrics[0].source
    context = SessionContext(SessionConfig(_OPTIONS).with_target_partitions(1))
    events = _read(context, source, _fields_of(metrics), job)
    check_counts(job, _counts(events))
    events, duplicates = _without_repeats(context, source, events)
    _register(context, "events", events)
    totals: dict[tuple[int, int], list[Row]] = {}
    for index, metric in enumerate(metrics):
        spans = [span for span, wanted in job.wanted.items() if index in wanted]
        totals.update({(index, span): [] for span in spans})
        if spans:
            for row in _rows(context, metric, spans):
                totals[index, row[0] - row[0] % HOUR_MS].append(row)
    return Folded(totals={key: sorted(rows) for key, rows in totals.items()}, duplicates=duplicates)


def _fields_of(metrics: Sequence[Metric]) -> list[str]:
    source = metrics[0].source
    names = {source.time: None, **({source.id: None} if source.id else {})}
    for metric in metrics:
        below = (node for root in metric.selection.nodes for node in nodes_of(root))
        names.update(dict.fromkeys(node.name for node in below if isinstance(node, Column)))
    return list(names)


def _form(schema: Schema, name: str) -> object:
    """What a field's values are; None of what this engine does not read as the decoder does."""
    type = schema.fields.get(name)
    if type is None:
        return None
    (declared,) = (f["type"] for f in json.loads(schema.canonical)["fields"] if f["name"] == name)
    if not _is_readable(declared):
        return None
    return (type.kind, type.scale, type.unit) if type.kind in _SQL else json.dumps(declared)


def _is_readable(declared: Any) -> bool:
    if isinstance(declared, list):
        others = [branch for branch in declared if branch != "null"]
        return len(others) == 1 and _is_readable(others[0])
    if isinstance(declared, str):
        # A name stands for what another field declares, logical type and all.
        return declared in _PRIMITIVES
    if declared.get("logicalType") not in _LOGICAL:
        return False
    match declared["type"]:
        case "record":
            return all(_is_readable(each["type"]) for each in declared["fields"])
        case "array":
            return _is_readable(declared["items"])
        case "map":
            return _is_readable(declared["values"])
        case "enum" | "fixed":
            return True
    return _is_readable(declared["type"])


def _read(context: SessionContext, source: Source, names: Sequence[str], job: Job) -> pa.Table:
    """The events of the job's spans, with time, hour and place in the log."""
    fields = source.schema.fields
    columns = [
        f"{_SQL.get(fields[n].kind, '{}').format(quote_name(n))} AS {quote_name(n)}" for n in names
    ]
    hours = pa.array(sorted(job.spans), pa.int64())
    tables = []
    with tempfile.TemporaryDirectory(prefix="fastdata-") as folder:
        for number, piece in enumerate(job.pieces):
            path = Path(folder, f"{number}.avro")
            path.write_bytes(piece.data)
            # One file is read by one thread, so that rows stay in their order.
            context.register_avro("object", str(path))
            table = context.sql(f"SELECT {', '.join(columns)} FROM object").to_arrow_table()
            context.deregister_table("object")
            path.unlink()
            tables.append(_placed(table, piece, source))
    return pa.concat_tables(tables).filter(pc.field(_HOUR).isin(hours))


def _placed(table: pa.Table, piece: Piece, source: Source) -> pa.Table:
    per_ms = 1_000 if source.schema.fields[source.time].unit == "us" else 1
    raw = table[source.time]
    in_range = pc.and_(
        pc.greater_equal(raw, EARLIEST_MS * per_ms), pc.less(raw, LATEST_MS * per_ms)
    )
    time = pc.divide(pc.if_else(in_range, raw, None), per_ms)
    hour = pc.multiply(pc.divide(time, HOUR_MS), HOUR_MS)
    offsets = np.array(read_offsets(piece.data), np.int64)
    place = pa.array(offsets + (piece.partition << _OFFSET_BITS))
    for name, column in ((_TIME, time), (_HOUR, hour), (_PLACE, place)):
        table = table.append_column(name, column)
    return table


def _register(context: SessionContext, name: str, table: pa.Table) -> None:
    empty = pa.RecordBatch.from_pylist([], schema=table.schema)
    context.register_record_batches(name, [table.to_batches() or [empty]])


def _counts(events: pa.Table) -> dict[int, int]:
    return {row["values"]: row["counts"] for row in pc.value_counts(events[_HOUR]).to_pylist()}


def _without_repeats(
    context: SessionContext, source: Source, events: pa.Table
) -> tuple[pa.Table, dict[int, int]]:
    """The first event of each id in each hour, and how many others there were by hour."""
    if source.id is None:
        return events, {}
    _register(context, "all_events", events)
    key = f"{quote_name(_HOUR)}, {quote_name(source.id)}"
    repeated = context.sql(
        f"SELECT {key}, min({quote_name(_PLACE)}) AS {quote_name(_FIRST)} FROM all_events "
        f"WHERE {quote_name(source.id)} IS NOT NULL GROUP BY {key} HAVING count(*) > 1"
    ).to_arrow_table()
    if repeated.num_rows:
        _register(context, "repeated", repeated)
        others = context.sql(
            f"SELECT {quote_name(_HOUR)}, {quote_name(_PLACE)} FROM all_events JOIN repeated "
            f"USING ({key}) WHERE {quote_name(_PLACE)} > {quote_name(_FIRST)}"
        ).to_arrow_table()
        is_other = pc.is_in(events[_PLACE], value_set=others[_PLACE].combine_chunks())
        events = events.filter(pc.invert(is_other))
        context.deregister_table("repeated")
    context.deregister_table("all_events")
    return events, _counts(others) if repeated.num_rows else {}


def _rows(context: SessionContext, metric: Metric, spans: Sequence[int]) -> Iterable[Row]:
    chosen, time = metric.selection, quote_name(_TIME)
    forms = [
        form_of(measure, aggregate, [Argument(to_folded_sql(n), n.type) for n in nodes], time)
        for measure, aggregate, nodes in zip(
            metric.folded.values(), metric.aggregates, chosen.arguments, strict=True
        )
    ]
    measured = [sql for form in forms for sql in form.sql]
    conditions = f"{quote_name(_HOUR)} IN ({', '.join(map(str, spans))})"
    if chosen.where is not None:
        conditions += f" AND {to_folded_sql(chosen.where)}"
    events = "events"
    if chosen.array is not None:
        element = f"unnest({to_folded_sql(chosen.array)}) AS {quote_name(ELEMENT)}"
        events = f"(SELECT *, {element} FROM events)"
    for head, by in _sets(metric):
        keys = [f"{time} - {time} % {metric.window_ms}", *map(to_folded_sql, by)]
        named = ", ".join(f'{sql} AS "{n}"' for n, sql in enumerate([*keys, *measured]))
        grouped = ", ".join(str(n + 1) for n in range(len(keys)))
        found = context.sql(
            f"SELECT {named} FROM {events} WHERE {conditions} GROUP BY {grouped}"
        ).to_arrow_table()
        for batch in found.to_batches(max_chunksize=_STATES):
            yield from _dumped(metric, head, len(keys), forms, batch.columns)


def _sets(metric: Metric) -> Iterable[tuple[tuple[int, ...], Sequence[Node]]]:
    """Each grouping set: with what its dimension values begin, and its expressions."""
    chosen = metric.selection
    if not chosen.sets:
        return [((), chosen.by)]
    return [((n,), [chosen.by[i] for i in own]) for n, own in enumerate(chosen.sets)]


def _dumped(
    metric: Metric,
    head: tuple[int, ...],
    keys: int,
    forms: Sequence[Form],
    columns: Sequence[pa.Array],
) -> Iterable[Row]:
    windows, *dims = (column.to_pylist() for column in columns[:keys])
    dims = [*([value] * len(windows) for value in head), *dims]
    states, at = [], keys
    for form in forms:
        states.append(form.states(columns[at : at + len(form.sql)]))
        at += len(form.sql)
    texts = map(dump_dims, zip(*dims, strict=True)) if dims else repeat(dump_dims(()))
    for start, text, each in zip(windows, texts, zip(*states, strict=True), strict=False):
        yield start, text, metric.dump(list(each))
