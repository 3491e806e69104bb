"""What mutated records are sent to: sources of declared and random schemas, with many metrics."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fastdata import (
    Count,
    First,
    Frequency,
    Last,
    Max,
    Mean,
    Metric,
    Min,
    Quantiles,
    Seen,
    Sets,
    Source,
    Sum,
    TopK,
    Uniques,
    Variance,
)
from fastdata.declare.catalog import load_folder
from fastdata.declare.metric import Measure
from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.events.formats import Format
from tests.support.mutations.records import Sender
from tests.support.mutations.schemas import new_schema, newer_schema
from tests.support.mutations.texts import LineWriter

__all__ = ["FORMATS", "Subject", "new_subject"]

REPOSITORY = Path(__file__).parents[3]
DECLARED = REPOSITORY / "tests" / "agreement" / "declared"
FORMATS: tuple[Format, ...] = ("avro", "json", "text")
# Weights that add up to more than 64 bits stop a source, and here some would.
WEIGHTED = "edit_measures.py"
AGENTS = sorted(
    path
    for folder in (REPOSITORY, DECLARED)
    for path in (folder / "agents").glob("*.py")
    if path.name != WEIGHTED
)
SCHEMAS = sorted([*(REPOSITORY / "schemas").glob("*.avsc"), *(DECLARED / "schemas").glob("*.avsc")])
_NUMBERS = ("int", "float", "decimal")
_ITEMS = ("int", "string", "timestamp", "date")
_ORDERED = (*_NUMBERS, "string", "timestamp", "date")


@dataclass
class Subject:
    """A source, its metrics, and who sends to it; `everything` counts each event that is folded."""

    source: Source
    metrics: list[Metric]
    everything: Metric
    sender: Sender


def new_subject(rng: Random, event_format: Format, folder: Path) -> Subject:
    """A declared agent, a declared schema, or a random one; `folder` is empty."""
    (folder / "schemas").mkdir()
    if rng.random() < 0.3:
        agents = [path for path in AGENTS if _format_of(path) == event_format]
        return _agents(rng, rng.choice(agents), folder)
    while True:
        schema = new_schema(rng, event_format, "Event")
        if rng.random() < 0.5:
            schema = json.loads(rng.choice(SCHEMAS).read_text())
        try:
            return _source(rng, schema, event_format, folder)
        except DeclarationError:  # as text no array can be read, as JSON no union
            continue


def _format_of(agents: Path) -> str:
    text = agents.read_text()
    return next((name for name in ("json", "text") if f'format="{name}"' in text), "avro")


def _agents(rng: Random, path: Path, folder: Path) -> Subject:
    (folder / "agents").mkdir()
    # Days from the first to the last moment that there is are very many, and another matter.
    text = re.sub(r"rollups=.*", "", path.read_text())
    (folder / "agents" / path.name).write_text(text)
    for schema in (path.parents[1] / "schemas").glob("*.avsc"):
        (folder / "schemas" / schema.name).write_text(schema.read_text())
    metrics = list(load_folder(folder / "agents").metrics.values())
    source = metrics[0].source
    schemas = [json.loads(source.schema.canonical)]
    is_log = source.pattern is not None
    sender = Sender(rng, schemas, source.time, source.format, is_log)
    everything = Metric("everything", source)
    return Subject(source, [everything, *metrics], everything, sender)


def _source(rng: Random, schema: dict[str, Any], event_format: Format, folder: Path) -> Subject:
    schemas = [schema, newer_schema(rng, schema), new_schema(rng, "avro", "Other")]
    for number, each in enumerate(schemas):
        (folder / "schemas" / f"{number}.avsc").write_text(json.dumps(each))
    time, id = _time_and_id(schema)
    source = Source(
        "events",
        topic="events",
        schema=str(folder / "schemas" / "0.avsc"),
        time=time,
        id=rng.choice([id, None]),
        lateness=rng.choice(["1h", None]),
        segment_size=rng.choice([40, 700]),
        repeat_horizon=200,
        format=event_format,
        pattern=LineWriter.pattern(schema) if event_format == "text" else None,
    )
    if event_format != "avro":
        schemas = schemas[:1]
    sender = Sender(rng, schemas, time, event_format)
    metrics = list(_metrics(rng, source))
    return Subject(source, metrics, metrics[0], sender)


def _time_and_id(schema: dict[str, Any]) -> tuple[str, str | None]:
    names = [field["name"] for field in schema["fields"]]
    times = [field["name"] for field in schema["fields"] if "timestamp-m" in str(field["type"])]
    time = "at" if "at" in names else times[0]
    texts = (field["name"] for field in schema["fields"] if field["type"] in ("string", "int"))
    return time, "id" if "id" in names else next(texts, None)


def _metrics(rng: Random, source: Source) -> Iterator[Metric]:
    yield Metric("everything", source)
    values = [*_values(source.schema.fields.items())]
    plain = [(text, type) for text, type in values if "unnest" not in text]
    kinds = ("string", "int", "bool", "timestamp", "date")
    dims = {f"d{n}": text for n, (text, type) in enumerate(plain) if type.kind in kinds}
    chosen = rng.sample(sorted(dims), min(len(dims), rng.randrange(3)))
    yield Metric("plain", source, {n: dims[n] for n in chosen}, _measures(rng, plain))
    arrays = sorted({text.partition(")")[0] for text, _ in values if "unnest" in text})
    if arrays:
        array = rng.choice(arrays)
        elements = [(text, type) for text, type in values if text.partition(")")[0] == array]
        yield Metric("elements", source, {}, _measures(rng, elements))


def _values(fields: Any, path: str = "") -> Iterator[tuple[str, FieldType]]:
    """What expressions can take of an event, with its type."""
    for name, type in fields:
        yield from _inside(f"{path}{name}", type)


def _inside(text: str, type: FieldType) -> Iterator[tuple[str, FieldType]]:
    match type.kind:
        case "record":
            yield from _values(type.fields, f"{text}.")
        case "map" if type.items is not None:
            yield from _inside(f"{text}['a']", type.items)
        case "array" if type.items is not None and "unnest" not in text:
            yield from _inside(f"unnest({text})", type.items)
        case "array" | "map" | "other":
            pass
        case _:
            yield text, type


def _measures(rng: Random, values: list[tuple[str, FieldType]]) -> dict[str, Measure]:
    measures: dict[str, Measure] = {"n": Count()}
    for number, (text, type) in enumerate(values):
        fitting = _fitting(text, type)
        for index, measure in enumerate(rng.sample(fitting, min(len(fitting), 3))):
            measures[f"m{number}_{index}"] = measure
    return measures


def _fitting(text: str, type: FieldType) -> list[Measure]:
    kind = type.kind
    measures: list[Measure] = [Count(text)]
    if kind in _NUMBERS:
        measures += [Sum(text), Mean(text), Variance(text), Quantiles(text), Sum(f"{text} * 2")]
    if kind in _ORDERED:
        measures += [Min(text), Max(text), First(text), Last(text)]
    if kind in _ITEMS:
        measures += [Uniques(text), TopK(text), Sets(text)]
    if kind in ("int", "string"):
        measures += [Frequency(text), Seen(text)]
    if kind == "string":
        measures += [Max(f"UPPER({text})"), Sum(f"LENGTH({text})")]
    return measures
