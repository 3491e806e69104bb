"""JSON and lines of text through both layers: what a plain reader counts is what is answered."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from fastdata.answer.query import query
from fastdata.archive import ArchiveReader, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.cli.main import commands
from fastdata.coordinates.instants import HOUR_MS
from fastdata.demo.processes import Processes
from fastdata.errors import StoreUnavailableError
from fastdata.local.broker import EMBEDDED_PARTITIONS, EmbeddedBroker
from fastdata.store.memory import MemoryStore
from tests.agreement import counting
from tests.agreement.driver import Log
from tests.agreement.stages import STAGES, Deployment, Question, assert_agrees, stage_answers

DECLARED = Path(__file__).parent / "declared"
REPOSITORY = Path(__file__).parents[2]
START = 1_709_204_400_000  # 2024-02-29T11:00:00Z
COUNT = 900
Record = dict[str, object]


@dataclass(frozen=True)
class Sent:
    """A value, and what a plain reader reads in it.

    Attributes:
        record: None when nobody can read it.
        is_readable: Whether the first declaration can; the second reads all that have a record.
    """

    value: bytes
    record: Record | None
    is_readable: bool = True


def access_log() -> list[Sent]:
    """Lines of a web server: some are cut off, some have a method in lower case."""
    rng, sent = Random(1), []
    for number in range(COUNT):
        at = START + number * 3 * HOUR_MS // COUNT // 1000 * 1000
        host = f"10.0.0.{rng.randrange(40)}"
        status = rng.choice([200, 200, 304, 404])
        size = None if status == 304 else rng.randrange(5_000)
        method = rng.choice(["GET"] * 8 + ["POST", "get"])
        moment = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(at // 1000 + 3600))
        line = (
            f'{host} - ann [{moment} +0100] "{method} /shoes?size=42 HTTP/1.1" {status} '
            f'{"-" if size is None else size} "https://shop.example/" "Mozilla/5.0 (\u00fc)"'
        )
        if rng.random() < 0.05:
            sent.append(Sent(line[: rng.randrange(60)].encode(), None))
            continue
        record: Record = {"at": at, "host": host, "status": status, "method": method}
        sent.append(Sent(line.encode(), record | {"bytes": size}, method != "get"))
    return sent


def purchases() -> list[Sent]:
    """JSON: times in three forms, decimals in two, repeats, rubbish, a new way of paying."""
    rng, sent = Random(2), []
    for number in range(COUNT):
        at = START + number * 3 * HOUR_MS // COUNT // 1000 * 1000
        cents = rng.randrange(10**6)
        paid_by = rng.choice(["card"] * 6 + ["cash"] * 3 + ["voucher"])
        country = rng.choice(["DE", "FR"])
        weight = rng.choice([None, rng.random()])
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000 - 7200))
        event = {
            "purchase": f"p{number}",
            "at": rng.choice([at, f"{text}-02:00", f"{text}.000-0200"]),
            "paid_by": paid_by,
            "price": Decimal(cents).scaleb(-2),
            "buyer": {"name": "ann"} if country == "DE" else {"name": "bob", "country": "FR"},
            "colour": ["not", "declared"],
        }
        if weight is not None:
            event["weight"] = weight
        value = json.dumps(event, default=str)
        if cents % 2:
            value = value.replace(f'"{event["price"]}"', str(event["price"]))
        if rng.random() < 0.05:
            sent.append(Sent(rng.choice([value[:-1], "null", "{}"]).encode(), None))
            continue
        shown = paid_by if paid_by == "cash" else country
        record: Record = {"at": at, "purchase": f"p{number}", "paid_by": shown, "weight": weight}
        one = Sent(value.encode(), record | {"price": event["price"]}, paid_by != "voucher")
        sent += [one] * rng.choice([1, 1, 1, 2])
    return sent


@dataclass(frozen=True)
class Case:
    """A declaration, what is sent to it, and how a plain count counts that.

    Attributes:
        change: What a later version says instead, in the agents or in the schema, by file.
    """

    agents: Path
    schemas: Path
    metric: str
    dimension: str
    uniques: str
    sent: Callable[[], list[Sent]]
    measures: dict[str, counting.Measured]
    change: tuple[str, str, str]
    replace: dict[str, str] = field(default_factory=dict)

    def truth(self, sent: Sequence[Sent], *, is_later: bool = False) -> dict[counting.Key, Record]:
        """By hour and dimension, as the first or the later declaration reads it."""
        records: dict[object, Record] = {}
        for number, one in enumerate(sent):
            if one.record is not None and (one.is_readable or is_later):
                records[one.record.get("purchase", number)] = one.record
        return counting.count(records.values(), "at", HOUR_MS, [self.dimension], self.measures)

    @property
    def question(self) -> Question:
        return Question(self.metric, "1h", (self.dimension,))


CASES = {
    "text": Case(
        REPOSITORY / "agents" / "web_log.py",
        REPOSITORY / "schemas",
        "requests",
        "status",
        "hosts",
        access_log,
        {
            "requests": len,
            "bytes": counting.values("bytes", sum, 0),
            "mean_bytes": counting.values("bytes", counting.mean),
            "largest": counting.values("bytes", max),
            "hosts": counting.distinct("host"),
        },
        ("web_log.py", "[A-Z]+", "[A-Za-z]+"),
        {'format="text",': 'format="text", segment_size=50,'},
    ),
    "json": Case(
        DECLARED / "agents" / "purchases.py",
        DECLARED / "schemas",
        "sold",
        "paid_by",
        "different",
        purchases,
        {
            "purchases": len,
            "revenue": counting.values("price", sum),
            "dearest": counting.values("price", max),
            "weight": counting.values("weight", counting.floats),
            "different": counting.distinct("purchase"),
        },
        ("purchase.avsc", '"cash"]', '"cash", "voucher"]'),
    ),
}
each_format = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def fill(case: Case) -> tuple[list[Sent], Log]:
    """All values in the order of their times, in two partitions; a repeat is in the same one."""
    sent, log = case.sent(), Log(2)
    for number, one in enumerate(sent):
        key = one.record.get("purchase", number) if one.record else number
        log.send(int(str(key).strip("p")) % 2, one.value, START + 4 * HOUR_MS)
    return sent, log


@each_format
def test_both_layers_count_what_a_plain_reader_reads(tmp_path: Path, case: Case) -> None:
    deployment = Deployment(tmp_path, case.agents, case.schemas, case.replace)
    sent, log = fill(case)
    count = sum(len(partition) for partition in log.partitions)

    answers = stage_answers(deployment, log, [case.question])

    assert count == len(sent)
    for stage in STAGES:
        assert_agrees(
            case.truth(sent),
            answers[stage, case.question],
            [case.dimension],
            [case.uniques],
            is_batch=stage == "batch",
        )


@each_format
def test_a_plain_recount_finds_nothing_to_say(tmp_path: Path, case: Case) -> None:
    deployment = Deployment(tmp_path, case.agents, case.schemas, case.replace)
    _, log = fill(case)
    stage_answers(deployment, log, [])

    with chdir(tmp_path):
        found = CliRunner().invoke(commands, ["verify", case.metric], catch_exceptions=False)

    assert found.exit_code == 0, found.output


@each_format
async def test_what_could_not_be_read_is_a_dead_letter_until_a_later_declaration_reads_it(
    tmp_path: Path, case: Case
) -> None:
    (tmp_path / "first").mkdir()
    deployment = Deployment(tmp_path / "first", case.agents, case.schemas, case.replace)
    sent, log = fill(case)
    async with MemoryStore() as store:
        loop = deployment.loop(log)
        await loop.start(store)
        await loop.drain()
        bad = [letter for letter in loop.letters if letter.record.value is not None]
        assert len(bad) == sum(not one.is_readable or not one.record for one in sent)
        assert {letter.stage for letter in bad} == {"decode"}
        log.fill(50)
        await loop.drain()
        await loop.archive()
        await loop.replay()

        metrics = changed(case, tmp_path).metrics
        storage = open_archive_storage(str(tmp_path / "first" / "archive"))
        # A pattern makes another metric, which has no totals yet; a schema does not.
        is_same = metrics[0].id == loop.metrics[0].id
        report = await replay(metrics, store=store, archive=storage, workers=0, force=is_same)
        table = await query(metrics[0], store=store, every="1h", by=[case.dimension])

    answered: dict[counting.Key, Record] = {
        (counting.iso(round(row["window_start"].timestamp() * 1000)), row[case.dimension]): row
        for row in table.to_pylist()
    }
    truth = case.truth(sent, is_later=True)
    assert truth != case.truth(sent)
    assert truth.keys() == answered.keys()
    for key, expected in truth.items():
        assert {name: answered[key][name] for name in expected} == expected
    unreadable = sum(one.record is None for one in sent)
    assert report.metrics[0].timeless == unreadable


def changed(case: Case, folder: Path) -> Deployment:
    """A later declaration."""
    name, old, new = case.change
    schemas = shutil.copytree(case.schemas, folder / "schemas")
    if name in [path.name for path in schemas.iterdir()]:
        text = (schemas / name).read_text()
        assert old in text
        (schemas / name).write_text(text.replace(old, new))
    (folder / "later").mkdir()
    edits = {old: new} if name == case.agents.name else {}
    return Deployment(folder / "later", case.agents, schemas, case.replace | edits)


class OnBroker(Deployment):
    """As the commands run it, on an embedded broker."""

    broker = ""

    def settings(self) -> dict[str, str]:
        return super().settings() | {"broker": self.broker, "state": "state"}


@each_format
@pytest.mark.processes
async def test_worker_archiver_and_replay_agree_on_a_broker(tmp_path: Path, case: Case) -> None:
    sent = case.sent()
    with EmbeddedBroker() as broker:
        deployment = type("Here", (OnBroker,), {"broker": broker.address})(
            tmp_path, case.agents, case.schemas, case.replace
        )
        (tmp_path / "logs").mkdir()
        topic = deployment.source.topic
        broker.create(topic)
        producer = Producer({"bootstrap.servers": broker.address})
        for number, one in enumerate(sent):
            key = one.record.get("purchase", number) if one.record else number
            partition = int(str(key).strip("p")) % EMBEDDED_PARTITIONS
            producer.produce(topic, one.value, partition=partition)
        producer.flush()
        async with Processes(tmp_path) as processes:
            processes.start("worker")
            processes.start("archive")
            await agreed(case, deployment, sent, processes)
            before = await counted(deployment, case)
            processes.start("replay")
            await processes.finish("replay")
            await agreed(case, deployment, sent, processes)
            assert await counted(deployment, case) == before
            await processes.stop()


async def counted(deployment: Deployment, case: Case) -> int:
    first = next(iter(case.measures))
    rows = await asyncio.to_thread(deployment.ask, case.question)
    return sum(int(str(row[first])) for row in rows)


async def agreed(
    case: Case, deployment: Deployment, sent: list[Sent], processes: Processes
) -> None:
    """Wait until everything is counted and archived, then compare."""
    truth = case.truth(sent)
    count = sum(int(str(row[next(iter(case.measures))])) for row in truth.values())
    for _ in range(720):
        processes.check()
        with suppress(StoreUnavailableError):  # the worker has not made it yet
            is_counted = await counted(deployment, case) == count
            if is_counted and await archived(deployment) == len(sent):
                break
        await asyncio.sleep(0.25)
    rows = await asyncio.to_thread(deployment.ask, case.question)
    assert_agrees(truth, rows, [case.dimension], [case.uniques], is_batch=False)


async def archived(deployment: Deployment) -> int:
    """How many offsets are durable in the archive, or would be when segments close."""
    storage = open_archive_storage(str(deployment.folder / "archive"))
    snapshot = await ArchiveReader(storage, deployment.source).snapshot()
    return sum(snapshot.durable.values())
