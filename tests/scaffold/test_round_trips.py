"""Whatever a file holds, what is inferred of it reads each of its rows as it was written."""

import io
import json
import math
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Source
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.files.sample import take_sample
from fastdata.scaffold.guesses import guess
from fastdata.scaffold.project import Names, project_files

PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST, LAST = datetime(1990, 1, 1), datetime(2099, 1, 1)  # noqa: DTZ001
moments = st.datetimes(FIRST, LAST)
scalars = [
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**80), 2**80),
    st.integers(631_152_000, 4_102_444_799),
    st.integers(631_152_000 * 10**9, 4_102_444_799 * 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(631_152_000, 4_102_444_799),
    st.integers(-(10**9), 10**9).map(lambda cents: cents / 100),
    st.booleans(),
    st.text(),
    st.decimals(-(10**9), 10**9, places=3).map(str),
    moments.map(lambda moment: moment.isoformat() + "Z"),
    moments.map(lambda moment: moment.isoformat(timespec="seconds") + "-03:30"),
    moments.map(lambda moment: moment.isoformat(sep=" ", timespec="seconds")),
    moments.map(lambda moment: moment.date().isoformat()),
]
KEYS = st.sampled_from(["at", "created", "ts", "amount", "total price", "class", "ID", "id", "2x"])
keys = KEYS | st.text(min_size=1, max_size=8)


def values(depth: int = 2) -> st.SearchStrategy[st.SearchStrategy[Any]]:
    """Kinds of values; a field has values of one, mostly."""
    kinds = st.sampled_from(scalars)
    if depth:
        inner = values(depth - 1)
        kinds |= inner.map(lambda kind: st.lists(kind, max_size=3))
        kinds |= st.dictionaries(keys, inner, min_size=1, max_size=3).map(records)
        kinds |= st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1])
    return kinds.flatmap(lambda kind: st.sampled_from([kind, kind | st.none()]))


def records(kinds: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=kinds) | st.fixed_dictionaries(kinds)


rows = st.dictionaries(keys, values(), max_size=6).flatmap(
    lambda kinds: st.lists(
        st.tuples(records(kinds), moments).map(
            lambda pair: {**pair[0], "event_time": pair[1].isoformat() + "+02:00"}
        ),
        min_size=1,
        max_size=12,
    )
)


def meant(value: Any, node: Any) -> Any:
    """What a value of JSON says, read with a type, by plain Python."""
    if isinstance(node, list):
        return None if value is None else meant(value, node[1])
    if not isinstance(node, dict):
        return float(value) if node == "double" else value
    match node["type"], node.get("logicalType", ""):
        case "record", _:
            return {
                field["name"]: meant(value.get(field.get("json", field["name"])), field["type"])
                for field in node["fields"]
            }
        case "array", _:
            return [meant(item, node["items"]) for item in value]
        case "map", _:
            return {key: meant(item, node["values"]) for key, item in value.items()}
        case _, "decimal":
            return Decimal(str(value)).quantize(Decimal(10) ** -node["scale"])
        case _, "date":
            return (date.fromisoformat(value) - date(1970, 1, 1)).days
    per_s = 10**6 if node["logicalType"].endswith("micros") else 10**3
    if not isinstance(value, str):
        unit = PER_S[node.get("unit", "us" if per_s == 10**6 else "ms")]
        return math.floor(Fraction(str(value)) * per_s / unit)
    moment = datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * per_s + since.microseconds * per_s // 10**6


def shape(value: Any) -> Any:
    """The value with its types; all zeros of decimals are one."""
    match value:
        case dict():
            return {key: shape(each) for key, each in value.items()}
        case list():
            return [shape(each) for each in value]
        case Decimal():
            return value + 0
    return type(value), repr(value)


@settings(deadline=None, max_examples=60)
@given(rows)
def test_each_row_is_read_as_it_was_written(events: list[dict[str, Any]]) -> None:
    lines = [json.dumps(event).encode() for event in events]
    sample = take_sample(io.BytesIO(b"\n".join(lines)), "x", "json")

    guesses = guess(sample, "events", "event_time", None, [])
    files = project_files(Names("events", "events", "a file"), guesses, None)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "event.avsc"
        path.write_text(files["schemas/events.avsc"])
        forms = (
            Source("e", topic="e", schema=str(path), time="event_time", format=form)
            for form in ("json", "avro")
        )
        by_json, by_avro = (Decoder(source, FolderRegistry(Path(folder))) for source in forms)
    schema = json.loads(files["schemas/events.avsc"])
    assert [field.misfits for field in guesses.fields] == [0] * len(guesses.fields)
    for line, event in zip(lines, events, strict=True):
        found = by_json.decode(line)
        assert found.fields is not None
        assert shape(found.fields) == shape(meant(event, schema))
        as_avro = by_avro.decode(encode(by_avro._schema, found.fields))
        assert shape(as_avro.fields) == shape(found.fields)
