"""Whatever cells a CSV file has, each of its rows is an event of what is inferred."""

import csv
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Source
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema
from fastdata.files.lines import CsvFile
from fastdata.files.profile import NULL_TEXTS
from fastdata.files.sample import take_sample
from fastdata.files.values import values_of_texts
from fastdata.scaffold.guesses import guess
from fastdata.scaffold.project import Names, project_files

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
kinds = st.sampled_from(
    [
        st.integers(-(10**20), 10**20).map(str),
        st.integers(0, 99_999).map("{:05}".format),
        st.integers(631_152_000, 4_102_444_799).map(str),
        st.floats().map(str),
        st.decimals(-(10**6), 10**6, places=2).map(str),
        st.booleans().map(str),
        st.sampled_from(["NA", "null", "-", "", "x"]),
        st.datetimes().map(lambda moment: moment.isoformat(" ")),
        words,
    ]
)
cells = st.tuples(kinds, kinds).flatmap(lambda pair: pair[0] | st.just("") | pair[1])
names = st.sampled_from(["created", "amount", "price (EUR)", "id", "Id", "class"]) | words
tables = st.lists(names, unique=True, max_size=4).flatmap(
    lambda header: st.tuples(
        st.just(header), st.lists(st.tuples(*[cells for _ in header]), min_size=1, max_size=10)
    )
)


@settings(deadline=None, max_examples=60)
@given(tables)
def test_each_row_is_an_event(table: tuple[list[str], list[tuple[str, ...]]]) -> None:
    header, rows = table
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([["event_time", *header], *(("2025-10-09T08:53:20Z", *row) for row in rows)])
    data = out.getvalue().encode()

    sample = take_sample(io.BytesIO(data), "x", "csv")
    guesses = guess(sample, "events", "event_time", None, [])
    schema = project_files(Names("events", "events", "a file"), guesses, None)[
        "schemas/events.avsc"
    ]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "event.avsc"
        path.write_text(schema)
        source = Source("e", topic="e", schema=str(path), time="event_time", format="json")
        decoder = Decoder(source, FolderRegistry(Path(folder)))
        convert = values_of_texts(Schema.load(path))
    texts = {
        field.get("json", field["name"]): field["name"]
        for field in json.loads(schema)["fields"]
        if "string" in field["type"]
    }
    assert [field.misfits for field in guesses.fields] == [0] * len(guesses.fields)
    assert len(sample.rows) == len(rows)
    for row in CsvFile(io.BytesIO(data)).rows():
        assert row.fields is not None
        found = decoder.decode(convert(row.fields)).fields
        assert found is not None
        for key, name in texts.items():
            assert found[name] == (row.fields[key] or None)
        for key, cell in row.fields.items():
            assert cell or found.get(key) is None
            assert cell.lower() not in NULL_TEXTS or key in texts or found.get(key) is None
