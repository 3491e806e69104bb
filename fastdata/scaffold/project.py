"""The files of a project: a schema, a file of agents, and settings."""

import json
import keyword
import re
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastdata.declare.catalog import load
from fastdata.errors import FastdataError
from fastdata.events.fieldtypes import SchemaNode
from fastdata.files.names import fitted_names
from fastdata.scaffold.guesses import Choice, Guesses
from fastdata.scaffold.scalars import Scalar

__all__ = ["Names", "Outcome", "outcomes_of", "project_files", "write_files"]

Outcome = Literal["written", "replaced", "kept"]

_WIDTH = 88  # what ruff and black take for a long line where nobody says otherwise
_COLUMNS = frozenset({"window_start", "window_end", "exact", "fresh_until", "read_until", "gap"})
_LONGEST = 48
_SETTINGS = """\
# A FASTDATA_* variable of the environment goes before its line here.
# broker = "kafka-1:9092"  # yours; `fastdata dev` has one of its own where none is set
registry = "schemas"
agents = "agents"
archive = "data/archive"
store = "sqlite:///data/fastdata.db"
state = "data/state"
"""


@dataclass(frozen=True, slots=True)
class Names:
    """What the parts of a project are called.

    Attributes:
        source: The source, its files and how its metrics begin.
        topic: In Kafka.
        file: The events that it was inferred from, for people.
    """

    source: str
    topic: str
    file: str

    @classmethod
    def of(cls, file: str, name: str | None, topic: str | None) -> "Names":
        """The names for a file.

        Args:
            file: Its path, or `-`.
            name: Of the source; None for that of the file.
            topic: None for that of the source.

        Raises:
            FastdataError: The name or the topic is none.
        """
        if name is not None and not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise FastdataError(
                f"--name {name}: a name is 1 to 32 of a-z, 0-9 and _, and begins with a letter"
            )
        if topic is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
            raise FastdataError(f"--topic {topic}: that is no name of a Kafka topic")
        source = name or _fitted(Path(file).name.partition(".")[0])
        shown = re.sub(r'[^\w .-]|"""', "_", Path(file).name) if file != "-" else "a pipe"
        return cls(source, topic or source, shown)

    @property
    def variable(self) -> str:
        """What Python calls the source."""
        taken = keyword.iskeyword(self.source) or keyword.issoftkeyword(self.source)
        return f"{self.source}_events" if taken else self.source


def _fitted(text: str) -> str:
    """A name of a source that is like a text."""
    (name,) = fitted_names([text.lower()]).values()
    return name.lstrip("_")[:32].rstrip("_") or "events"


def project_files(
    names: Names, guesses: Guesses, declared: Mapping[str, SchemaNode] | None
) -> dict[str, str]:
    """The text of each file, by its path in the project.

    Args:
        names: Of its parts.
        guesses: What was chosen.
        declared: The schema that the file has of itself.

    Raises:
        FastdataError: What was chosen cannot be declared.
    """
    files = {
        f"schemas/{names.source}.avsc": _schema(names, guesses, declared or {}),
        f"agents/{names.source}.py": _agents(names, guesses),
        "fastdata.toml": _SETTINGS,
    }
    with tempfile.TemporaryDirectory(prefix="fastdata-init-") as folder:
        write_files(Path(folder), files, force=False)
        try:
            load(Path(folder) / "agents" / f"{names.source}.py")
        except FastdataError as error:
            reason = str(error).replace(f"{folder}/", "")
            raise FastdataError(
                f"what was inferred of {names.file} cannot be declared: {reason}; choose with "
                "--time, --id, --by or --name"
            ) from error
    return files


def write_files(folder: Path, files: Mapping[str, str], *, force: bool) -> dict[str, Outcome]:
    """Write files, all or none; settings that are there are kept, for no file depends on them.

    Args:
        folder: Of the project; made where it is not there.
        files: By their path in it.
        force: Whether to replace what is there, but for the settings.

    Returns:
        What became of each.

    Raises:
        FastdataError: A file is there, and is not to be replaced; nothing was written.
    """
    outcomes = outcomes_of(folder, files)
    if not force and (
        there := [name for name, outcome in outcomes.items() if outcome == "replaced"]
    ):
        raise FastdataError(
            f"{' and '.join(there)} in {folder} would be replaced, and nothing was written: give "
            "another --name, or --force"
        )
    for name, text in files.items():
        if outcomes[name] != "kept":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return outcomes


def outcomes_of(folder: Path, files: Iterable[str]) -> dict[str, Outcome]:
    """What `write_files` would do with each file."""
    return {
        name: "written"
        if not (folder / name).exists()
        else "kept"
        if name.endswith(".toml")
        else "replaced"
        for name in files
    }


def _schema(names: Names, guesses: Guesses, declared: Mapping[str, SchemaNode]) -> str:
    """The schema, with one field a line."""
    head = {key: node for key, node in declared.items() if key not in ("fields", "doc", "aliases")}
    head = {"type": "record", "name": _camel(names.source)} | head
    head["doc"] = f"Inferred by `fastdata init` from {names.file}."
    lines = []
    for field in guesses.fields:
        notes = [f"guessed: {note}" for note in field.notes]
        doc = {"doc": "; ".join(notes)} if notes else {}
        lines.append("    " + json.dumps(field.declaration | doc, ensure_ascii=False))
    head_lines = [f"  {json.dumps(key)}: {json.dumps(node)}," for key, node in head.items()]
    return "\n".join(["{", *head_lines, '  "fields": [', ",\n".join(lines), "  ]", "}", ""])


def _agents(names: Names, guesses: Guesses) -> str:
    metrics = list(_metrics(names, guesses))
    used = {"Metric", "Source"} | {
        call for _, _, measures in metrics for call, _ in measures.values()
    }
    first, by, _ = metrics[0]
    grouped = f" --by {_dimension(by[0])}" if by else ""
    parts = [
        f'"""Events like those of {names.file}; written by `fastdata init`, and yours to change.',
        "",
        f"    fastdata query {first} --every all{grouped}",
        "",
        "What is not sure has a comment that begins with `guessed`.",
        '"""',
        "",
        f"from fastdata import {', '.join(sorted(used))}",
        "",
        f"{names.variable} = Source(",
        f"    {_text(names.source)},",
        f"    topic={_text(names.topic)},",
        f"    schema={_text(f'schemas/{names.source}.avsc')},",
        *_comment(guesses.time, "the time"),
        f"    time={_text(guesses.time.field)},",
        *_id_lines(guesses.id),
        '    format="json",',
        ")",
    ]
    for name, dimensions, measures in metrics:
        parts += _metric_lines(names, name, dimensions, measures)
    return "\n".join([*parts, ""])


_Measures = dict[str, tuple[str, str | None]]


def _metrics(names: Names, guesses: Guesses) -> Iterable[tuple[str, list[Scalar], _Measures]]:
    """Name, dimensions and measures of each metric; of a measure its class and its field."""
    sums = {f"{_label(c)}_sum": ("Sum", c.path) for c in guesses.sums}
    means = {f"{_label(c)}_mean": ("Mean", c.path) for c in [*guesses.sums, *guesses.gauges]}
    extremes = {
        f"{_label(column)}_{call.lower()}": (call, column.path)
        for column in [*guesses.gauges, *guesses.sums]
        for call in ("Min", "Max")
    }
    count: _Measures = {"events": ("Count", None)}
    if guesses.by:
        ending = "_".join(["by", *map(_label, guesses.by)])
        yield _metric_name(names, ending), guesses.by, count | sums | means
    if guesses.who:
        others = [c for c in guesses.groups if c not in guesses.who][-1:]
        uniques: _Measures = {f"{_label(c)}_uniques": ("Uniques", c.path) for c in guesses.who}
        yield _metric_name(names, "uniques"), others, count | uniques
    yield _metric_name(names, "total"), [], count | sums | means | extremes


def _metric_lines(names: Names, name: str, by: Sequence[Scalar], measures: _Measures) -> list[str]:
    lines = [f"{name} = Metric(", f"    {_text(name)},", f"    {names.variable},"]
    if any(_dimension(column) != column.path for column in by):
        lines.append("    by={")
        lines += [f"        {_text(_dimension(column))}: {_text(column.path)}," for column in by]
        lines.append("    },")
    elif by:
        line = f"    by=[{', '.join(_text(column.path) for column in by)}],"
        lines += (
            [line]
            if len(line) <= _WIDTH
            else ["    by=[", *(f"        {_text(column.path)}," for column in by), "    ],"]
        )
    lines.append("    measures={")
    for label, (call, path) in measures.items():
        argument = "" if path is None else _text(path)
        line = f"        {_text(label)}: {call}({argument}),"
        lines += _split(line, call, argument)
    return [*lines, "    },", ")"]


def _split(line: str, call: str, argument: str) -> list[str]:
    """A line as a formatter leaves it: one that is too long has its argument on its own."""
    if len(line) <= _WIDTH or not argument:
        return [line]
    return [
        line.replace(f"{call}({argument}),", f"{call}("),
        f"            {argument}",
        "        ),",
    ]


def _id_lines(choice: Choice) -> list[str]:
    if choice.field is not None:
        return [*_comment(choice, "the id"), f"    id={_text(choice.field)},"]
    text = f"no id: {choice.why}. An event that is sent twice counts twice"
    return _wrapped(text)


def _comment(choice: Choice, role: str) -> list[str]:
    return [] if choice.is_sure else _wrapped(f"guessed {role}: {choice.why}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="    # ", subsequent_indent="    # ")


def _metric_name(names: Names, ending: str) -> str:
    return f"{names.source}_{ending}"[:_LONGEST].rstrip("_")


def _dimension(column: Scalar) -> str:
    return f"{column.name}_" if column.name.lower() in _COLUMNS | {"events"} else column.name


def _label(column: Scalar) -> str:
    """How a measure of a column is called: lower case, a letter first."""
    return column.name.lower().lstrip("_")[: _LONGEST - len("_uniques") - len("_lower")]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _text(text: str | None) -> str:
    """A text as Python, in the quotes that a formatter takes."""
    return f"'{text}'" if text and '"' in text else f'"{text}"'
