"""The columnar engine: the totals of the row engine, by DataFusion, for metrics without Python.

Of each object only the columns that are needed are read, and DataFusion groups them (`grouping`).
What its hash tables and sorts have no room for, it spills to the temporary folder.
"""
# ruff: noqa: S608 - names are those of Avro, which have letters, digits and _ only.

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext

from fastdata.archive.avro_file import join_objects
from fastdata.batch.columnar.coded import CodedEvents
from fastdata.batch.columnar.grouping import GroupedStates, grouped
from fastdata.batch.columnar.measures import Argument, columns_of
from fastdata.batch.job import FoldedWindows, Job, JobResult, Piece, check_counts, without_collector
from fastdata.coordinates.dimensions import dump_dim, join_dims, tip_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.events.decoder import EARLIEST_MS, LATEST_MS
from fastdata.events.schema import Schema
from fastdata.expressions import (
    ELEMENT,
    Column,
    Node,
    is_too_large,
    is_too_long,
    nodes_of,
    quote_name,
    to_sql,
)
from fastdata.measures.stored_columns import envelopes

__all__ = ["UnreadableError", "fold_columns", "is_columnar"]

# No field of Avro can have such a name.
_TIME, _HOUR, _PLACE = "0time", "0hour", "0place"
_OFFSET_BITS, _OPEN_BIT = 48, 62  # of a place: events of open segments come after all others
# Of DataFusion's hash tables and sorts; past it they go to files.
_MAX_BYTES = 256 << 20
# At least so many batches fit into that, and so many of the largest one that was read.
_BATCHES, _LARGEST = 64, 4
_BATCH_ROWS = 8192
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


class UnreadableError(Exception):
    """DataFusion cannot read an object; who reads record by record can."""


def is_columnar(metric: Metric, schemas: Iterable[str]) -> bool:
    """Whether this engine can compute a metric of a source without Python of its own.

    Args:
        schemas: Canonical JSON of the schemas that the events were written with.
    """
    source = metric.source
    if any(is_too_large(node) for node in metric.selection.nodes):
        return False
    encodings = {name: _encoding(source.schema, name) for name in _fields_of([metric])}
    if not all(map(_is_known, schemas := list(schemas))):
        return False
    written = [Schema.parse(text) for text in schemas]
    return all(
        encoding is not None and all(_encoding(schema, name) == encoding for schema in written)
        for name, encoding in encodings.items()
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
def fold_columns(metrics: Sequence[Metric], job: Job, max_bytes: int = _MAX_BYTES) -> JobResult:
    """The exact totals of a job's spans: to the byte those of the row engine.

    Args:
        metrics: Of one source, all columnar for the schemas of the job; the job means them by
            their index.
        max_bytes: Of memory for grouping and sorting; past it they use files. Events that take
            more are not coded.

    Raises:
        UnreadableError: An event is written as only others than DataFusion can read it.
        ReplayError: A span has not the number of events that the manifest says.
        MapError: A value is not of its declared type.
    """
    source = metrics[0].source
    events = _read(source, _fields_of(metrics), job)
    check_counts(job, _counts(events))
    context = _session_for(events, max_bytes)
    coded = CodedEvents(context, events.num_rows if events.nbytes <= max_bytes else 0)
    events, duplicates = _without_repeats(context, source, events)
    _register(context, "events", events)
    result = JobResult(duplicates=duplicates)
    for index, metric in enumerate(metrics):
        spans = [span for span, wanted in job.wanted.items() if index in wanted]
        if spans:
            has_tips = any(piece.is_open for piece in job.pieces)
            wanted = spans if len(spans) < len(job.spans) else ()
            fitting = _without_long_keys(context, metric, wanted, events)
            chosen = _selected_events(metric, wanted, fitting)
            result.add(index, metric, spans, _windows(coded, metric, chosen, has_tips))
    return result


def _session_for(events: pa.Table, max_bytes: int) -> SessionContext:
    # A sort needs room for some batches, whatever it spills.
    largest = max((batch.nbytes for batch in events.to_batches()), default=0)
    pool = max(max_bytes, largest * _LARGEST)
    rows = pool // _BATCHES // max(1, events.nbytes // max(1, events.num_rows))
    memory = RuntimeEnvBuilder().with_fair_spill_pool(pool).with_disk_manager_os()
    return SessionContext(_config().with_batch_size(min(max(rows, 1), _BATCH_ROWS)), memory)


def _config() -> SessionConfig:
    return SessionConfig(_OPTIONS).with_target_partitions(1)


def _fields_of(metrics: Sequence[Metric]) -> list[str]:
    source = metrics[0].source
    names = {source.time: None, **({source.id: None} if source.id else {})}
    for metric in metrics:
        below = (node for root in metric.selection.nodes for node in nodes_of(root))
        names.update(dict.fromkeys(node.name for node in below if isinstance(node, Column)))
    return list(names)


def _encoding(schema: Schema, name: str) -> object:
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
            return all(_is_readable(field["type"]) for field in declared["fields"])
        case "array":
            return _is_readable(declared["items"])
        case "map":
            return _is_readable(declared["values"])
        case "enum" | "fixed":
            return True
    return _is_readable(declared["type"])


def _read(source: Source, names: Sequence[str], job: Job) -> pa.Table:
    """The events of the job's spans, with time, hour and place in the log."""
    fields = source.schema.fields
    columns = [
        f"{_SQL.get(fields[n].kind, '{}').format(quote_name(n))} AS {quote_name(n)}" for n in names
    ]
    hours = pa.array(sorted(job.spans), pa.int64())
    by_schema: dict[str, list[Piece]] = {}
    for piece in job.pieces:
        by_schema.setdefault(piece.schema, []).append(piece)
    context, tables = SessionContext(_config()), []
    with tempfile.TemporaryDirectory(prefix="fastdata-") as folder:
        for number, pieces in enumerate(by_schema.values()):
            path = Path(folder, f"{number}.avro")
            with path.open("wb") as file:
                runs_of_pieces = join_objects([piece.data for piece in pieces], file)
            table = _read_file(context, path, columns)
            path.unlink()
            places = [
                np.arange(start, start + length) + _base(piece)
                for piece, runs in zip(pieces, runs_of_pieces, strict=True)
                for start, length in runs
            ]
            tables.append(_placed(table, np.concatenate(places), source))
    events = pa.concat_tables(tables)
    is_wanted = pc.is_in(events[_HOUR], value_set=hours)
    return events if pc.all(is_wanted).as_py() else events.filter(is_wanted)


def _read_file(context: SessionContext, path: Path, columns: Sequence[str]) -> pa.Table:
    # One file is read by one thread, so that rows stay in their order.
    context.register_avro("object", str(path))
    try:
        return context.sql(f"SELECT {', '.join(columns)} FROM object").to_arrow_table()
    except Exception as error:
        raise UnreadableError(str(error).strip().partition("\n")[0]) from error
    finally:
        context.deregister_table("object")


def _base(piece: Piece) -> int:
    return (piece.is_open << _OPEN_BIT) + (piece.partition << _OFFSET_BITS)


def _placed(table: pa.Table, places: np.ndarray[Any, Any], source: Source) -> pa.Table:
    per_ms = 1_000 if source.schema.fields[source.time].unit == "us" else 1
    raw = table[source.time]
    in_range = pc.and_(
        pc.greater_equal(raw, EARLIEST_MS * per_ms), pc.less(raw, LATEST_MS * per_ms)
    )
    time = pc.divide(pc.if_else(in_range, raw, None), per_ms)
    hour = pc.multiply(pc.divide(time, HOUR_MS), HOUR_MS)
    for name, column in ((_TIME, time), (_HOUR, hour), (_PLACE, pa.array(places))):
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
    hour, id, place = map(quote_name, (_HOUR, source.id, _PLACE))
    _register(context, "all_events", events)
    repeated = context.sql(
        f"SELECT {id} FROM all_events WHERE {id} IS NOT NULL "
        f"GROUP BY {hour}, {id} HAVING count(*) > 1"
    ).to_arrow_table()
    context.deregister_table("all_events")
    if not repeated.num_rows:
        return events, {}
    # No join: DataFusion's would not spill.
    of_repeated = pc.is_in(events[source.id], value_set=repeated[source.id].combine_chunks())
    _register(context, "repeated", events.filter(of_repeated))
    others = context.sql(
        f"SELECT {hour}, {place} FROM (SELECT {hour}, {place}, row_number() "
        f"OVER (PARTITION BY {hour}, {id} ORDER BY {place}) AS nth FROM repeated) WHERE nth > 1"
    ).to_arrow_table()
    context.deregister_table("repeated")
    is_other = pc.is_in(events[_PLACE], value_set=others[_PLACE].combine_chunks())
    return events.filter(pc.invert(is_other)), _counts(others)


def _without_long_keys(
    context: SessionContext, metric: Metric, spans: Sequence[int], events: pa.Table
) -> str:
    """The name of a registered table of the events that have no key that is too long."""
    condition = is_too_long(metric.selection.by)
    if condition is None:
        return "events"
    place, selected = quote_name(_PLACE), _selected_events(metric, spans, "events")
    sql = f"SELECT DISTINCT {place} {selected} AND {condition}"
    long = context.sql(sql).to_arrow_table()[_PLACE].combine_chunks()
    if not len(long):
        return "events"
    name = f"events_{metric.name}"
    _register(context, name, events.filter(pc.invert(pc.is_in(events[_PLACE], value_set=long))))
    return name


def _windows(
    coded: CodedEvents, metric: Metric, chosen: str, has_tips: bool
) -> Iterator[FoldedWindows]:
    """What a metric folds of the events that it has chosen, one grouping set after the other."""
    selection, time, place = metric.selection, quote_name(_TIME), quote_name(_PLACE)
    partition = f"({place} - {1 << _OPEN_BIT}) / {1 << _OFFSET_BITS}"
    tip_key = f"CASE WHEN {place} >= {1 << _OPEN_BIT} THEN {partition} END"
    nodes = dict.fromkeys([*selection.by, *chain.from_iterable(selection.arguments)])
    named = {node: coded.name_of(to_sql(node)) for node in nodes}
    columns = [
        columns_of(measure, aggregate, [Argument(named[n], n.type) for n in arguments], time)
        for measure, aggregate, arguments in zip(
            metric.folded.values(), metric.aggregates, selection.arguments, strict=True
        )
    ]
    events = _named(chosen, named)
    for prefix, by in _sets(metric):
        keys = [f"{time} - {time} % {metric.window_ms}", *[named[node] for node in by]]
        keys += [tip_key] if has_tips else []
        for key_columns, states in grouped(coded, keys, columns, events, chosen, place):
            windows = key_columns[0].to_pylist()
            dims = _dims(prefix, key_columns[1 : 1 + len(by)], len(windows))
            if has_tips:
                tips = zip(dims, key_columns[-1].to_pylist(), strict=True)
                dims = [text if tip is None else tip_dims(text, tip) for text, tip in tips]
            yield _folded(metric, windows, dims, states)


def _folded(
    metric: Metric, windows: list[int], dims: list[str], grouped_states: Sequence[GroupedStates]
) -> FoldedWindows:
    if metric.rollups:
        by_measure = [measure.states() for measure in grouped_states]
        live = list(map(list, zip(*by_measure, strict=True)))
        return FoldedWindows(windows, dims, list(map(metric.dump, live)), live)
    pairs = zip(grouped_states, metric.aggregates, strict=True)
    dumped = [measure.dumped(aggregate) for measure, aggregate in pairs]
    codes = [aggregate.code for aggregate in metric.aggregates]
    return FoldedWindows(windows, dims, envelopes(codes, dumped))


def _dims(prefix: tuple[int, ...], columns: Sequence[pa.ChunkedArray], groups: int) -> list[str]:
    """What `dump_dims` makes of each group's values, each different one of which is dumped once."""
    texts: list[Sequence[str]] = [[dump_dim(value)] * groups for value in prefix]
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        dumped = list(map(dump_dim, encoded.dictionary.to_pylist()))
        texts.append([dumped[index] for index in encoded.indices.to_pylist()])
    if len(texts) == 1:
        # Most have one dimension with few values: one text for all groups of a value.
        whole = {text: join_dims((text,)) for text in {*texts[0]}}
        return [whole[text] for text in texts[0]]
    return list(map(join_dims, zip(*texts, strict=True))) if texts else [join_dims(())] * groups


def _sets(metric: Metric) -> Iterable[tuple[tuple[int, ...], Sequence[Node]]]:
    """Each grouping set: with what its dimension values begin, and its expressions."""
    selection = metric.selection
    if not selection.sets:
        return [((), selection.by)]
    return [
        ((number,), [selection.by[index] for index in indexes])
        for number, indexes in enumerate(selection.sets)
    ]


def _selected_events(metric: Metric, spans: Sequence[int], table: str) -> str:
    """The events that a metric folds, from FROM on; those of some spans, or of all."""
    selection = metric.selection
    conditions = f"{quote_name(_HOUR)} IN ({', '.join(map(str, spans))})" if spans else "TRUE"
    if selection.where is not None:
        conditions += f" AND {to_sql(selection.where)}"
    events = table
    if selection.array is not None:
        element = f"unnest({to_sql(selection.array)}) AS {quote_name(ELEMENT)}"
        events = f"(SELECT *, {element} FROM {table})"
    return f"FROM {events} WHERE {conditions}"


def _named(events: str, named: Mapping[Node, str]) -> str:
    """Selected events with expressions of them by name, from FROM on."""
    places = ", ".join(map(quote_name, (_TIME, _PLACE)))
    expressions = "".join([f", {to_sql(node)} AS {name}" for node, name in named.items()])
    return f"FROM (SELECT {places}{expressions} {events})"
