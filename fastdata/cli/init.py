"""`fastdata init`."""

import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

if TYPE_CHECKING:
    from fastdata.files.rows import FileFormat
    from fastdata.files.sample import Sample
    from fastdata.scaffold.guesses import Guesses
    from fastdata.scaffold.project import Names

__all__ = ["init"]

_TEMPLATE = b"""\
{"event_id": "e1", "at": "2026-01-05T09:00:00Z", "type": "view", "user": "ann", "amount": null}
{"event_id": "e2", "at": "2026-01-05T09:00:20Z", "type": "buy", "user": "ann", "amount": 12.5}
{"event_id": "e3", "at": "2026-01-05T09:01:10Z", "type": "view", "user": "bob", "amount": null}
{"event_id": "e3", "at": "2026-01-05T09:01:10Z", "type": "view", "user": "bob", "amount": null}
{"event_id": "e4", "at": "2026-01-05T10:02:00Z", "type": "view", "user": "cem", "amount": null}
{"event_id": "e5", "at": "2026-01-05T10:03:30Z", "type": "buy", "user": "cem", "amount": 7.25}
"""


@click.command(short_help="Make a project from a file of your own events.")
@click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--from", "file", metavar="FILE", help="Events; - reads a pipe. [default: a template]"
)
@click.option(
    "--format",
    type=click.Choice(["json", "csv", "avro", "parquet"]),
    help="Of the file; json is one object a line. [default: what it looks like]",
)
@click.option("--time", metavar="FIELD", help="The event time, instead of a guess.")
@click.option("--id", metavar="FIELD", help='What identifies an event; --id "" for nothing.')
@click.option(
    "--by", metavar="FIELDS", multiple=True, help="Dimensions, separated by commas or given again."
)
@click.option("--name", help="Of the source and its files. [default: that of the file]")
@click.option("--topic", help="In Kafka. [default: the name]")
@click.option("--force", is_flag=True, help="Replace the schema and the agents that are there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and only that.")
def init(
    folder: Path, file: str | None, format: "FileFormat | None", time: str | None, id: str | None,
    by: tuple[str, ...], name: str | None, topic: str | None, *, force: bool, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a project from a file of your own events: a schema, metrics, and settings.

    FILE is JSON, one object a line, CSV with a header, an Avro container or Parquet. Of a large one
    the first 10,000 rows and about as many from all over it are read. Types, the event time, an id
    and what to count by are inferred, and each guess is told; one that is not sure is a comment in
    the file. Rows that cannot be read are counted, and stop nothing.

    Nothing is replaced without --force, and fastdata.toml never.

    \b
    Examples:
      fastdata init shop --from orders.jsonl
      fastdata init --from readings.csv --time measured_at --by sensor,site --dry-run
      tail -n 5000 clicks.jsonl | fastdata init --from - --name clicks
      fastdata init
    """  # noqa: D301  (click wants the backspace)
    from fastdata.cli.query import listed
    from fastdata.scaffold.guesses import guess
    from fastdata.scaffold.project import Names, outcomes_of, project_files, write_files

    names = Names.of(file or "events.jsonl", name, topic)
    sample = _sample(file, format)
    guesses = guess(sample, names.source, time, id, listed(by))
    files = project_files(names, guesses, sample.declared)
    if file is None:
        files["events.jsonl"] = _TEMPLATE.decode()
    outcomes = outcomes_of(folder, files) if dry_run else write_files(folder, files, force=force)
    following = _next(folder, file or "events.jsonl", names, files)
    if as_json:
        click.echo(json.dumps(_document(sample, guesses, names, outcomes, following), indent=2))
        return
    _show(sample, guesses, names)
    for path, outcome in outcomes.items():
        done = {"written": "would write", "replaced": "would replace"}.get(outcome, outcome)
        click.echo(f"{done if dry_run else outcome:<9} {folder / path}")
    click.echo("\nNext:\n" + "\n".join(f"  {line}" for line in following))


def _sample(file: str | None, format: "FileFormat | None") -> "Sample":
    """Rows of the file, of standard input, or of the template."""
    from fastdata.files.sample import take_sample

    with ExitStack() as stack:
        if file is None:
            stream: BinaryIO = io.BufferedReader(cast("Any", io.BytesIO(_TEMPLATE)))
        elif file == "-":
            stream = sys.stdin.buffer
        else:
            stream = stack.enter_context(Path(file).open("rb"))
        return take_sample(stream, file or "the template", format)


def _show(sample: "Sample", guesses: "Guesses", names: "Names") -> None:
    """Say what was read, and what was chosen and why."""
    from fastdata.scaffold.report import read_lines, told_lines

    for line in read_lines(sample, names):
        click.echo(line)
    for role, field, why in told_lines(guesses):
        click.echo(f"  {role:<8} {field:<20} {why}".rstrip())


def _document(
    sample: "Sample",
    guesses: "Guesses",
    names: "Names",
    outcomes: dict[str, Any],
    following: list[str],
) -> dict[str, Any]:
    from fastdata.scaffold.report import told_lines

    return {
        "name": names.source,
        "topic": names.topic,
        "format": sample.format,
        "rows": len(sample.rows),
        "is_whole": sample.is_whole,
        "bad": sample.bad,
        "problems": sample.problems,
        "repeated": len(sample.rows) - sample.distinct,
        "time": {
            "field": guesses.time.field,
            "why": guesses.time.why,
            "sure": guesses.time.is_sure,
        },
        "id": {"field": guesses.id.field, "why": guesses.id.why, "sure": guesses.id.is_sure},
        "chosen": [
            {"role": role, "field": field, "why": why} for role, field, why in told_lines(guesses)
        ],
        "files": [{"path": path, "outcome": outcome} for path, outcome in outcomes.items()],
        "next": following,
    }


def _next(folder: Path, file: str, names: "Names", files: dict[str, str]) -> list[str]:
    """What to type after it."""
    inside = folder.resolve() == Path.cwd()
    is_pipe = file == "-"
    events = "FILE" if is_pipe else file if inside else str(Path(file).resolve())
    if "events.jsonl" in files:
        events = "events.jsonl"
    query = next(
        line.strip()
        for line in files[f"agents/{names.source}.py"].splitlines()
        if "fastdata query" in line
    )
    return [
        *([] if inside else [f"cd {folder}"]),
        f"fastdata dev --load {events}    # all of it, and a page, by one command",
        query,
        "",
        "or with your own Kafka, whose address goes into fastdata.toml:",
        "fastdata topics create && fastdata worker",
        f"fastdata send {names.topic} --from-file {events}",
    ]
