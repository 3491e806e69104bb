"""A set of events through both layers, and what `fastdata query` answers at each stage.

* speed: the speed layer has folded everything, batch nothing;
* both:  after a replay; the last segments are open, so they are in partials still;
* batch: after the last segments have closed, too, and a second replay: totals alone.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from zlib import crc32

from click.testing import CliRunner

from fastdata.archive import open_archive_storage
from fastdata.cli.main import commands
from fastdata.coordinates.instants import parse_duration, parse_instant
from fastdata.declare.catalog import load_folder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from fastdata.store.opening import open_store
from tests.agreement.counting import Key
from tests.agreement.driver import Log, Loop
from tests.agreement.sets import Record

__all__ = [
    "STAGES",
    "Answers",
    "Deploy",
    "Deployment",
    "Layers",
    "Question",
    "Row",
    "assert_agrees",
    "assert_exact_until_fresh",
    "send",
    "stage_answers",
]

STAGES = ("speed", "both", "batch")

Row = dict[str, object]
Answers = dict[tuple[str, "Question"], list[Row]]


@dataclass(frozen=True)
class Question:
    """What is asked; without `start` and `end` everything.

    Attributes:
        items: That sketches are asked about, as `MEASURE=ITEM`.
    """

    metric: str
    every: str
    by: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    items: tuple[str, ...] = ()
    rolling: str | None = None
    zone: str | None = None

    def __str__(self) -> str:
        days = [text[:10] for text in (self.start, self.end) if text]
        return " ".join((self.metric, self.every, *self.by, *days))

    @property
    def words(self) -> list[str]:
        """The arguments of `fastdata query`."""
        words = [self.metric, "--every", self.every]
        options = {
            "by": ",".join(self.by),
            "from": self.start,
            "to": self.end,
            "rolling": self.rolling,
            "zone": self.zone,
        }
        for option, text in options.items():
            words += [f"--{option}", text] if text else []
        for item in self.items:
            words += ["--item", item]
        return words

    @property
    def every_ms(self) -> int | None:
        return None if self.every == "all" else parse_duration(self.every)

    @property
    def start_ms(self) -> int:
        return parse_instant(self.start) if self.start else 0

    @property
    def end_ms(self) -> int:
        return parse_instant(self.end) if self.end else 1 << 60


class Layers(Protocol):
    """Both layers over a log."""

    def run(self, stage: str) -> None:
        """Fold all that the log has, with a new worker; then batch counts it, but for `speed`."""
        ...


@dataclass
class Deployment:
    """A folder with a `fastdata.toml`, one file of agents and its schema.

    Attributes:
        replace: What to change in the text of the declaration.
        schema: Of the events, with the id that their producer sends.
    """

    folder: Path
    agents: Path
    schemas: Path
    replace: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "agents").mkdir()
        text = self.declaration(self.agents.read_text())
        for old, new in self.replace.items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / "agents" / self.agents.name).write_text(text)
        shutil.copytree(self.schemas, self.folder / "schemas")
        lines = (f'{name} = "{value}"\n' for name, value in self.settings().items())
        (self.folder / "fastdata.toml").write_text("".join(lines))
        self.catalog = load_folder(self.folder / "agents")
        self.metrics = list(self.catalog.metrics.values())
        self.source = self.metrics[0].source
        self.schema = self.registered(self.source.schema)

    def declaration(self, text: str) -> str:
        """The text of the file of agents, from the one that all deployments share."""
        return text

    def settings(self) -> dict[str, str]:
        """What `fastdata.toml` says."""
        store = "sqlite:///store.db"
        return {"agents": "agents", "registry": "schemas", "archive": "archive", "store": store}

    def registered(self, schema: Schema) -> Schema:
        """The schema as the registry of this deployment knows it."""
        return schema

    def layers(self, log: Log, workers: int) -> Layers:
        """Both layers over a log; `workers` are the processes of a replay."""
        return LayersInProcess(self.loop(log), f"sqlite:///{self.folder / 'store.db'}", workers)

    def loop(self, log: Log) -> Loop:
        """Both layers over a log, which archive in this folder."""
        storage = open_archive_storage(str(self.folder / "archive"))
        return Loop(self.metrics, FolderRegistry(self.folder / "schemas"), log, storage)

    def ask(self, question: Question) -> list[Row]:
        """The rows of `fastdata query`."""
        words = ["query", *question.words, "--format", "json"]
        with chdir(self.folder):
            result = CliRunner().invoke(commands, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        rows: list[Row] = json.loads(result.stdout)["rows"]
        return rows


# Makes a deployment of a folder, a file of agents, a folder of schemas and replacements.
Deploy = Callable[..., Deployment]


@dataclass
class LayersInProcess:
    """Everything in this process, but the store and the archive."""

    loop: Loop
    store: str
    workers: int

    def run(self, stage: str) -> None:
        asyncio.run(self._run(stage))

    async def _run(self, stage: str) -> None:
        async with open_store(self.store) as store:
            await self.loop.start(store)
            await self.loop.drain()
            if stage != "speed":
                await self.loop.archive()
                await self.loop.replay(self.workers)


def send(
    deployment: Deployment, records: Iterable[Record], key: str, partitions: int, at: int
) -> Log:
    """A log of the records, each in the partition that the hash of its key gives.

    Args:
        at: When all of them came, ms UTC.
    """
    log, schema = Log(partitions), deployment.schema
    for record in records:
        partition = crc32(str(record[key]).encode()) % partitions
        log.send(partition, encode(schema, record), at)
    return log


def stage_answers(
    deployment: Deployment,
    log: Log,
    questions: Sequence[Question],
    stages: Sequence[str] = STAGES,
    workers: int = 0,
) -> Answers:
    """Run both layers, a new worker at each stage, and ask everything after each."""
    layers = deployment.layers(log, workers)
    answers: Answers = {}
    for stage in stages:
        if stage == "batch":
            log.fill(deployment.source.segment_size)
        layers.run(stage)
        answers |= {(stage, question): deployment.ask(question) for question in questions}
    return answers


def assert_agrees(
    truth: Mapping[Key, Mapping[str, object]],
    rows: Sequence[Row],
    by: Sequence[str],
    uniques: Sequence[str],
    *,
    is_batch: bool,
) -> None:
    """Every row is the truth: to the event, or for `uniques` before batch, within its bounds."""
    answered = {(row["window_start"], *(row[name] for name in by)): row for row in rows}
    assert truth.keys() == answered.keys()
    for key, expected in truth.items():
        row = answered[key]
        for name, value in expected.items():
            triple = [row[name + suffix] for suffix in ("_lower", "", "_upper")]
            if isinstance(value, Decimal):
                triple = [Decimal(str(each)) for each in triple]
            if name in uniques and not is_batch and not row["exact"]:
                lower, _, upper = triple
                assert lower <= value <= upper, (key, name, value, triple)  # type: ignore[operator]
            else:
                assert [value] * 3 == triple, (key, name)


def assert_exact_until_fresh(rows: Sequence[Row]) -> None:
    """Rows over totals alone are exact but where events may still be under way."""
    expected = [str(row["window_end"]) <= str(row["fresh_until"]) for row in rows]
    assert any(expected)
    assert expected == [row["exact"] for row in rows]
