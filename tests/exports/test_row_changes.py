"""By how much the events of a row say that its sums have changed."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from fastdata import Metric, Source, Sum
from fastdata.errors import ExportError
from fastdata.events.schema import HEAD_BYTES
from fastdata.exports.changes import RowEvents
from fastdata.exports.table import flat_table

SCHEMA = {
    "type": "record",
    "name": "Load",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "seconds", "type": "double"},
        {"name": "size", "type": "long"},
    ],
}


def changes(folder: Path, **revisions: Sequence[Any]) -> list[float]:
    """The changes of one sum, of which these are the values one after another."""
    (folder / "load.avsc").write_text(json.dumps(SCHEMA))
    source = Source("loads", topic="loads", schema=str(folder / "load.avsc"), time="at")
    ((name, values),) = revisions.items()
    flat = flat_table(Metric("app", source, measures={name: Sum(name)}), "1h", has_bounds=True)
    events, before, told = RowEvents(flat), None, []
    for value in values:
        row = dict.fromkeys(flat.schema.names) | {name: value, "exact": True, "layer": "batch"}
        row |= dict.fromkeys(("window_start", "window_end", "updated_at"), 0)
        (content,) = events.contents(pa.Table.from_pylist([row], flat.schema))
        event, before = events.event(content, before, 1)
        told.append(event)
    parsed = events.schema.parsed
    read = [fastavro.schemaless_reader(io.BytesIO(e[HEAD_BYTES:]), parsed, None) for e in told]
    return [row[f"{name}_change"] for row in read if isinstance(row, dict)]


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
def test_a_sum_that_was_no_number_for_a_while_is_a_number_again(
    tmp_path: Path, wrong: float
) -> None:
    assert [1.5, -1.5, 4.0] == changes(tmp_path, seconds=[1.5, wrong, 4.0])


def test_a_change_past_64_bits_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"the row \[0\] has changed by more than 64 bits hold"):
        changes(tmp_path, size=[-(2**63), 2**63 - 1])
