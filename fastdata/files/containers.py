"""Files that say the types of their rows: Avro containers and Parquet."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fastavro

from fastdata.errors import BadEventError, DeclarationError, FastdataError
from fastdata.events.decoder import read_as_written
from fastdata.events.fieldtypes import SchemaNode
from fastdata.events.schema import Schema
from fastdata.files.names import fitted_names
from fastdata.files.rows import FileFormat, FileRow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AvroFile", "ParquetFile"]

_BATCH_ROWS = 500
_PLACES = 20
_EPOCH_DAY = date(1970, 1, 1)
_Form = Callable[[Any], Any]


class AvroFile:
    """An Avro container; see `EventFile`.

    Args:
        file: From its first byte on.

    Raises:
        FastdataError: It is none, or its schema cannot be used.
    """

    format: FileFormat = "avro"

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._blocks = fastavro.block_reader(file)
            text = str(self._blocks.metadata["avro.schema"])
        except (ValueError, LookupError, EOFError, StopIteration) as error:
            raise FastdataError(f"the file is no Avro container: {error}") from error
        try:
            self._schema = Schema.parse(text, "the schema of the file")
        except DeclarationError as error:
            raise FastdataError(str(error)) from error
        self.declared: Mapping[str, SchemaNode] | None = json.loads(text)

    def rows(self) -> Iterator[FileRow]:
        """All rows; see `EventFile`.

        Raises:
            FastdataError: From here on the file cannot be read.
        """
        number = 0
        try:
            for block in self._blocks:
                datums: io.BytesIO = cast("Any", block).bytes_
                for _ in range(block.num_records):
                    number += 1
                    yield FileRow(number, read_as_written(self._schema, datums))
        except (BadEventError, ValueError, EOFError) as error:
            raise FastdataError(
                f"the file is damaged at row {number + 1}, and nothing after it can be read: "
                f"{error}"
            ) from error

    def spread(self) -> Iterator[FileRow]:
        """Nothing: the types are known, and where blocks begin is not."""
        return iter(())


class ParquetFile:
    """A Parquet file; see `EventFile`.

    Columns of types that no event can have have none in `declared`, and are not in the rows.

    Args:
        file: One that can seek.

    Raises:
        FastdataError: It is none, or a pipe.
    """

    format: FileFormat = "parquet"

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile as Opened

        if not file.seekable():
            raise FastdataError("Parquet cannot be read from a pipe: give the name of its file")
        try:
            self._file = Opened(file)
        except (pa.ArrowException, OSError) as error:
            raise FastdataError(f"the file is no Parquet: {error}") from error
        columns = [(field.name, _form_of(field.type, field.name)) for field in self._schema()]
        self._forms = {name: form for name, (node, form) in columns if node is not None}
        fields = [{"name": name, "type": node} for name, (node, _) in columns]
        self.declared: Mapping[str, SchemaNode] | None = {"type": "record", "fields": fields}

    def rows(self) -> Iterator[FileRow]:
        """All rows; see `EventFile`.

        Raises:
            FastdataError: From here on the file cannot be read.
        """
        yield from self._rows()

    def spread(self) -> Iterator[FileRow]:
        """The first rows of row groups behind the first one; see `EventFile`.

        Raises:
            FastdataError: From here on the file cannot be read.
        """
        groups = range(1, self._file.num_row_groups)
        for group in groups[:: max(1, len(groups) // _PLACES)]:
            rows = self._rows(row_groups=[group])
            yield from (FileRow(0, row.fields) for row in islice(rows, _BATCH_ROWS))

    def _schema(self) -> "pa.Schema":
        return self._file.schema_arrow

    def _rows(self, **options: Any) -> Iterator[FileRow]:
        import pyarrow as pa

        number = 0
        columns = list(self._forms)
        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=columns, **options):
                target = pa.schema([(field.name, _plain(field.type)) for field in batch.schema])
                for row in pa.Table.from_batches([batch]).cast(target, safe=False).to_pylist():
                    number += 1
                    forms = self._forms.items()
                    yield FileRow(number, {name: form(row[name]) for name, form in forms})
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FastdataError(f"the file is damaged after row {number}: {error}") from error


def _plain(type_: "pa.DataType") -> "pa.DataType":
    """A type of the same values whose objects Python has: no nanoseconds, no dictionaries."""
    import pyarrow as pa

    if pa.types.is_timestamp(type_) and type_.unit == "ns":
        return pa.timestamp("us", type_.tz)
    if pa.types.is_time64(type_):
        return pa.time64("us")
    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_plain(field.type)) for field in type_])
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_plain(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, _plain(type_.item_type))
    return type_


def _form_of(type_: "pa.DataType", path: str) -> tuple[SchemaNode | None, _Form]:
    """The Avro type of an Arrow type, and how its Python objects become values of JSON.

    None is the type of what no event can have.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return _form_of(type_.value_type, path)
    if pa.types.is_struct(type_):
        return _record_form(type_, path)
    if pa.types.is_map(type_):
        node, form = _form_of(type_.item_type, path)
        if node is None or not _is_text(type_.key_type):
            return None, _as_it_is
        values = {"type": "map", "values": ["null", node]}
        return values, lambda pairs: pairs and {key: form(member) for key, member in pairs}
    is_list = pa.types.is_list(type_) or pa.types.is_large_list(type_)
    if is_list or pa.types.is_fixed_size_list(type_):
        node, form = _form_of(type_.value_type, path)
        if node is None:
            return None, _as_it_is
        return (
            {"type": "array", "items": ["null", node]},
            lambda items: None if items is None else [form(item) for item in items],
        )
    return _scalar_form(type_)


def _record_form(type_: "pa.DataType", path: str) -> tuple[SchemaNode | None, _Form]:
    parts = [(field.name, *_form_of(field.type, f"{path}.{field.name}")) for field in type_]
    names = fitted_names([name for name, _, _ in parts])
    fields = [
        {"name": names[name], "type": ["null", node], "default": None}
        | ({"json": name} if name != names[name] else {})
        for name, node, _ in parts
        if node is not None
    ]
    forms = {name: form for name, node, form in parts if node is not None}

    def convert(value: Any) -> Any:
        return value and {name: form(value[name]) for name, form in forms.items()}

    record = ".".join(["Row", *fitted_names(path.split(".")).values()])
    return ({"type": "record", "name": record, "fields": fields} if fields else None), convert


def _scalar_form(type_: "pa.DataType") -> tuple[SchemaNode | None, _Form]:
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(type_):
        return _timestamp_form(type_)
    if types.is_date(type_):
        node = {"type": "int", "logicalType": "date"}
        return node, lambda day: day if day is None else (day - _EPOCH_DAY).days
    if types.is_time(type_):
        return {"type": "long", "logicalType": "time-micros"}, _time_of_day
    if types.is_decimal(type_) and 0 <= type_.scale <= type_.precision:
        digits = {"precision": type_.precision, "scale": type_.scale}
        return {"type": "bytes", "logicalType": "decimal", **digits}, _as_it_is
    names = {
        "int": types.is_integer(type_) and type_.bit_width + types.is_unsigned_integer(type_) <= 32,
        "long": types.is_integer(type_),
        "float": types.is_float16(type_) or types.is_float32(type_),
        "double": types.is_float64(type_),
        "boolean": types.is_boolean(type_),
        "string": _is_text(type_),
        "bytes": types.is_binary(type_) or types.is_large_binary(type_),
    }
    return next((name for name, is_so in names.items() if is_so), None), _as_it_is


def _timestamp_form(type_: "pa.DataType") -> tuple[SchemaNode, _Form]:
    name, per_s = ("millis", 10**3) if type_.unit in ("s", "ms") else ("micros", 10**6)
    local = "" if type_.tz else "local-"

    def convert(moment: datetime | None) -> int | None:
        if moment is None:
            return None
        since = moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo and UTC)
        return (since.days * 86_400 + since.seconds) * per_s + since.microseconds * per_s // 10**6

    return {"type": "long", "logicalType": f"{local}timestamp-{name}"}, convert


def _time_of_day(value: time | None) -> int | None:
    if value is None:
        return None
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**6 + value.microsecond


def _is_text(type_: "pa.DataType") -> bool:
    import pyarrow as pa

    views = pa.types.is_string_view(type_)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or views)


def _as_it_is(value: Any) -> Any:
    return value
