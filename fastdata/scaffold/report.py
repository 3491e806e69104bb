"""What `fastdata init` says of a file, and of what it chose."""

from collections.abc import Iterator

from fastdata.files.sample import Sample
from fastdata.files.types import FileField
from fastdata.scaffold.guesses import Guesses
from fastdata.scaffold.project import Names

__all__ = ["read_lines", "told_lines"]


def read_lines(sample: Sample, names: Names) -> Iterator[str]:
    """What was read of a file."""
    part = "all of it" if sample.is_whole else "a part of it"
    yield f"{names.file}: {_rows(len(sample.rows))} of {sample.format} read, {part}"
    if repeats := len(sample.rows) - sample.distinct:
        yield f"  {_rows(repeats)} came before as a whole"
    if sample.bad:
        yield f"  {_rows(sample.bad)} more cannot be read; {sample.problems[0]}"


def told_lines(guesses: Guesses) -> Iterator[tuple[str, str, str]]:
    """What was chosen: its role, the field, and why."""
    yield "time", guesses.time.field or "none", guesses.time.why
    yield "id", guesses.id.field or "none", guesses.id.why
    for column in guesses.groups:
        yield "by", column.path, guesses.whys[column.path]
    for column in guesses.who:
        yield "uniques", column.path, guesses.whys[column.path]
    for column in guesses.sums:
        yield "sum", column.path, "a number; sums, means and extremes"
    for column in guesses.gauges:
        yield "mean", column.path, "a number whose sum would say nothing; means and extremes"
    if guesses.missing_times:
        why = f"{_rows(guesses.missing_times)} without a time will be dead letters"
        yield "misfits", guesses.time.field or "none", why
    for field in guesses.fields:
        yield from _of_field(field)
    for key, why in guesses.left_out:
        yield "left out", key, why


def _of_field(field: FileField) -> Iterator[tuple[str, str, str]]:
    if field.name != field.key:
        yield "named", field.name, f"{field.key!r} in the file, which Avro does not take"
    if field.misfits:
        why = f"{_rows(field.misfits)} of another type or unit will be dead letters"
        yield "misfits", field.name, why
    for note in field.notes:
        yield "guessed", field.name, note


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
