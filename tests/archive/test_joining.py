"""Several objects as one Avro file."""

import io

import fastavro

from fastdata.archive.avro_file import Records, build_object, join_objects
from fastdata.events.schema import Schema

SCHEMA = Schema.parse(
    '{"type": "record", "name": "E", "fields": [{"name": "x", "type": "string"}]}'
)


def an_object(name: str, offsets: list[int], size: int) -> bytes:
    records = Records(SCHEMA.canonical, 1)
    for offset in offsets:
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, SCHEMA.parsed, {"x": f"{offset} {'x' * size}"})
        records.offsets.append(offset)
        records.datums.append(datum.getvalue())
    return build_object(name, 0, records)[1]


def test_objects_are_joined_in_their_order_whatever_their_blocks() -> None:
    many_blocks, gaps, one = [10, 11, 12, 13], [0, 1, 5, 7, 8], [20]
    file = io.BytesIO()

    runs = join_objects(
        [an_object("a", many_blocks, 50_000), an_object("b", gaps, 3), an_object("c", one, 3)],
        file,
    )

    assert runs == [[(10, 4)], [(0, 2), (5, 1), (7, 2)], [(20, 1)]]
    file.seek(0)
    texts = [str(dict(row)["x"]) for row in fastavro.reader(file)]  # type: ignore[arg-type]
    assert [int(text.split()[0]) for text in texts] == [*many_blocks, *gaps, *one]
