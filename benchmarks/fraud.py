"""The jobs of agents/fraud under load: a job is killed, one is deployed anew, one is added.

History of sixty days is sent, folded and replayed first. Then a thread sends payments at a rate,
each with the time at which it is sent, and of every decision it is noted when Kafka had it. A fifth
into the run the job `velocity` is killed and started again after ten seconds, at two fifths
`amount` is stopped and started again, at three fifths `merchant` is added, which begins there. How
long decisions took is told of all, and of those whose job was up: of payments that were not made
within the half minute after it was killed, stopped or added.

At the end a plain program applies the rules to what stands in `clean-payments`: suspicions and
decisions have to be the same, each once by their ids. Starts a Kafka of its own.

Examples:
  python -m benchmarks.fraud --minutes 10 --rate 2000 --json out.json
  python -m benchmarks.fraud --minutes 1 --rate 200 --customers 20000
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from fastavro import schemaless_reader

from benchmarks import machine
from benchmarks.fraud_check import Row, check
from fastdata.coordinates.instants import DAY_MS, now_ms
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from tests.support.services.kafka import Kafka

ROOT = Path(__file__).parents[1]
PARTITIONS, DAYS = 4, 58
KNOWN, PAST = 10_000, 20  # customers with a past, and payments of each of them
TOPICS = ("payments", "clean-payments", "suspicions", "decisions")
JOBS = ("velocity", "travel", "amount", "decide")
CITIES = {"Oslo": (59.9, 10.7), "Berlin": (52.5, 13.4), "Lisbon": (38.7, -9.1)}
SETTINGS = {"enable.idempotence": True, "linger.ms": 5}


class Town:
    """Customers, their usual amounts, and what they pay: the same for the same seed."""

    def __init__(self, customers: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._usual = [self._random.uniform(5, 80) for _ in range(customers)]
        self._homes = [self._random.choice(list(CITIES)) for _ in range(customers)]
        self._count = 0

    def past(self, today: int) -> Iterator[tuple[int, Row]]:
        """Payments of the days before, in the order of their times."""
        times = ((n, self._random.randrange(DAYS * DAY_MS)) for n in range(len(self._usual)))
        every = sorted(
            (today - DAYS * DAY_MS + first + n * (DAYS * DAY_MS - first) // PAST, customer)
            for customer, first in times
            if customer < KNOWN
            for n in range(PAST)
        )
        for at, customer in every:
            yield customer, self._payment(customer) | {"paid_at": at}

    def next(self) -> list[tuple[int, Row]]:
        """One payment, or what a thief does: one in a hundred."""
        customer = self._random.randrange(len(self._usual))
        draw = self._random.random()
        if draw < 0.004:
            stolen = self._payment(customer) | {"is_fraud": True}
            return [(customer, stolen | {"payment_id": f"p{self._next()}"}) for _ in range(8)]
        payment = self._payment(customer)
        if draw < 0.007:
            payment |= {"amount": payment["amount"] * 20, "is_fraud": True}
        elif draw < 0.009:
            city = self._random.choice([c for c in CITIES if c != self._homes[customer]])
            payment |= dict(zip(("latitude", "longitude"), CITIES[city], strict=True))
            payment["is_fraud"] = True
        elif draw < 0.012:
            payment |= {"merchant": "new-shop", "amount": 500.0, "currency": "EUR"}
        return [(customer, payment)]

    def _payment(self, customer: int) -> Row:
        latitude, longitude = CITIES[self._homes[customer]]
        test = self._random.random() < 0.01
        return {
            "payment_id": f"p{self._next()}",
            "customer": f"c{customer}",
            "card": f"{'test' if test else 'card'}-{customer}",
            "amount": round(max(0.5, self._random.gauss(1, 0.25)) * self._usual[customer], 2),
            "currency": self._random.choice(["EUR", "eur", "USD", "GBP", "JPY"]),
            "merchant": f"shop-{self._random.randrange(100)}",
            "latitude": latitude,
            "longitude": longitude,
            "is_fraud": False,
        }

    def _next(self) -> int:
        self._count += 1
        return self._count


class Stage:
    """A Kafka, a folder, and the processes of the diamond."""

    def __init__(self, folder: Path, servers: str) -> None:
        self.folder, self.servers = folder, servers
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FASTDATA_AGENTS": "agents/fraud",
            "FASTDATA_BROKER": servers,
            "FASTDATA_STORE": f"sqlite:///{folder}/store.db",
            "FASTDATA_ARCHIVE": f"file://{folder}/archive",
            "FASTDATA_REGISTRY": str(folder / "schemas"),
            "FASTDATA_COMMIT_INTERVAL_S": "0.2",  # cleaned payments go on with each flush
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cpu_s = Counter[str]()
        self.producer = Producer({"bootstrap.servers": servers, **SETTINGS})
        self.paying = Schema.load(ROOT / "schemas/payment.avsc")
        self.sent = 0

    def prepare(self) -> None:
        """Topics, and schemas where workers can register theirs."""
        (self.folder / "schemas").mkdir()
        for file in (ROOT / "schemas").glob("*.avsc"):
            (self.folder / "schemas" / file.name).write_text(file.read_text())

    def start(self, name: str) -> None:
        """Start a job, or the worker of fastdata."""
        app = "fastdata" if name == "worker" else f"agents.fraud.jobs.{name}"
        state = str(self.folder / "state" / name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info"],
                cwd=ROOT, stdout=log, stderr=log, env=self.environment | {"FASTDATA_STATE": state},
            )  # fmt: skip

    def stop(self, name: str, *, is_killed: bool = False) -> None:
        """End one; what it used is added up."""
        process = self.processes.pop(name)
        times = psutil.Process(process.pid).cpu_times()
        self.cpu_s[name] += times.user + times.system
        process.kill() if is_killed else process.terminate()
        process.wait(60)

    def kill(self) -> None:
        """Kill what still runs."""
        for process in self.processes.values():
            process.kill()

    def run(self, *command: str) -> str:
        """What a command of fastdata prints."""
        return subprocess.run(
            [sys.executable, "-m", "fastdata", *command],
            cwd=ROOT, env=self.environment, check=True, text=True, stdout=subprocess.PIPE,
        ).stdout  # fmt: skip

    def pay(self, customer: int, payment: Row) -> None:
        """Send a payment."""
        key, value = payment["customer"], encode(self.paying, payment)
        self.producer.produce("payments", value, key, customer % PARTITIONS)
        self.producer.poll(0)
        self.sent += 1

    def ends(self, topic: str) -> list[int]:
        """Where its partitions end."""
        reader = Consumer({"bootstrap.servers": self.servers, "group.id": "ends"})
        places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        ends = [reader.get_watermark_offsets(place, timeout=10)[1] for place in places]
        reader.close()
        return ends

    def committed(self, group: str, topic: str) -> list[int]:
        """How far a group has come; nothing where a new broker has no coordinator yet."""
        reader = Consumer({"bootstrap.servers": self.servers, "group.id": group})
        places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        with suppress(KafkaException):
            return [max(0, at.offset) for at in reader.committed(places, timeout=10)]
        return []

    def begin_at_end(self, name: str) -> list[int]:
        """Let a job that is new begin with what comes from now on; where that is."""
        ends = self.ends("clean-payments")
        places = [TopicPartition("clean-payments", p, end) for p, end in enumerate(ends)]
        request = ConsumerGroupTopicPartitions(f"fraud-{name}", places)
        client = AdminClient({"bootstrap.servers": self.servers})
        client.alter_consumer_group_offsets([request])[f"fraud-{name}"].result(30)
        return ends

    def wait(self, group: str, topic: str) -> None:
        """Wait until a group has read all of a topic."""
        deadline = time.monotonic() + 300
        while self.committed(group, topic) != self.ends(topic):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{group} has not read all of {topic}")
            time.sleep(0.5)

    def read(self, topic: str) -> list[tuple[int, int, Row]]:
        """All of a topic: partition, time of the record, and its fields."""
        registry = FolderRegistry(self.folder / "schemas")
        reader = Consumer({"bootstrap.servers": self.servers, "group.id": "reader"})
        rows: list[tuple[int, int, Row]] = []
        reader.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        left = sum(self.ends(topic))
        while left:
            for message in reader.consume(10_000, timeout=1.0):
                value = message.value() or b""
                schema = registry.get(int.from_bytes(value[1:5], "big")).parsed
                fields: Any = schemaless_reader(BytesIO(value[5:]), schema, None)
                rows.append((message.partition() or 0, message.timestamp()[1], fields))
                left -= 1
        reader.close()
        return rows


def build_past(stage: Stage, town: Town) -> None:
    """Sixty days of all customers: sent, folded, archived and replayed."""
    today = now_ms() // DAY_MS * DAY_MS
    for customer, payment in town.past(today):
        stage.pay(customer, payment)
    stage.producer.flush()
    stage.start("worker")
    stage.wait("fastdata", "payments")
    stage.wait("fastdata", "clean-payments")
    stage.run("archive", "--once")
    stage.run("replay")
    for name in JOBS[:-1]:
        stage.begin_at_end(name)
    for name in JOBS:
        stage.start(name)


def send(stage: Stage, town: Town, rate: float, seconds: float, late: list[float]) -> None:
    """Send at a rate; how late each second began."""
    began, count = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while count < passed * rate:
            for customer, payment in town.next():
                stage.pay(customer, payment | {"paid_at": now_ms()})
                count += 1
        late.append(time.monotonic() - began - passed)
        time.sleep(0.005)
    stage.producer.flush()


def disturb(stage: Stage, seconds: float) -> tuple[list[int], dict[str, int]]:
    """Kill one, deploy one anew, add one; where that begins, and when each was touched, ms."""
    began, touched = time.monotonic(), {}

    def wait(share: float) -> None:
        time.sleep(max(0.0, began + share * seconds - time.monotonic()))

    wait(0.2)
    touched["velocity"] = now_ms()
    stage.stop("velocity", is_killed=True)
    time.sleep(10)
    stage.start("velocity")
    wait(0.4)
    touched["amount"] = now_ms()
    stage.stop("amount")
    stage.start("amount")
    wait(0.6)
    touched["merchant"] = now_ms()
    first = stage.begin_at_end("merchant")
    stage.start("merchant")
    return first, touched


def measure(asked: argparse.Namespace, folder: Path) -> Row:
    """The run; what came out of it."""
    (folder / "kafka").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(Kafka(folder / "kafka", {"log.retention.ms": "-1"}))
        for topic in TOPICS:
            server.create(topic, PARTITIONS)
        stage = Stage(folder, server.bootstrap)
        stack.callback(stage.kill)
        stage.prepare()
        town = Town(asked.customers)
        build_past(stage, town)
        time.sleep(asked.settle)
        print(f"{stage.sent:,} payments of the past are folded", file=sys.stderr)
        today, late, seconds = now_ms() // DAY_MS * DAY_MS, [0.0], asked.minutes * 60
        arguments = (stage, town, asked.rate, seconds, late)
        sender = threading.Thread(target=send, args=arguments)
        sender.start()
        first, touched = disturb(stage, seconds)
        used = use(stage, sender)
        for name in (*JOBS[:-1], "merchant"):
            stage.wait(f"fraud-{name}", "clean-payments")
        stage.wait("fraud-decide", "suspicions")
        stage.wait("fastdata", "decisions")
        report = check(stage.read, stage.sent, first, today, touched)
        said = stage.run(
            "compare", "outcomes", "precision", "--lift", "--left", "arm=b", "--right", "arm=a",
            "--share", "0.1", "--last", "1d", "--json",
        )  # fmt: skip
        report |= {"lift": json.loads(said), "used": used, "sender_late_s": max(late)}
        for name in list(stage.processes):
            stage.stop(name)
    return report


def use(stage: Stage, sender: threading.Thread) -> Row:
    """CPU and memory of each process while payments are still being sent."""
    watched = {name: psutil.Process(p.pid) for name, p in stage.processes.items()}
    for process in watched.values():
        process.cpu_percent()
    sender.join()
    return {
        name: {
            "cpu_percent": process.cpu_percent(),
            "mb": round(process.memory_info().rss / 1e6),
        }
        for name, process in watched.items()
    }


def main() -> int:
    """Run it; 1 if something came out wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long payments are sent")
    parser.add_argument("--rate", type=float, default=2_000.0, help="payments a second")
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--settle", type=float, default=30.0, help="seconds until all jobs are up")
    parser.add_argument("--json", type=Path, help="where the report is written to")
    parser.add_argument("--folder", type=Path, help="is kept; it must not be there")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = asked.folder
        if folder is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="fastdata-fraud-"))
            folder = Path(made)
        else:
            folder.mkdir(parents=True)
        report = {"machine": machine.facts(), "arguments": sys.argv[1:]} | measure(asked, folder)
    text = json.dumps(report, indent=2)
    if asked.json:
        asked.json.write_text(text)
    print(text)
    faults = [n for n in report if n.endswith(("missing", "wrong", "differ")) and report[n]]
    return 1 if faults or report["lost_payments"] else 0


if __name__ == "__main__":
    sys.exit(main())
