"""Writes what the tests beside this file read. Run it with the version that shall have written it.

    PYTHONPATH=<checkout of that version>:. python -P -m tests.stored.generate <new folder>

It uses commands, settings and `fastdata.load` alone, so it runs with any version.
"""

import io
import json
import lzma
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

from fastdata import load
from tests.stored.log import read_log
from tests.stored.questions import EXPORTS, QUESTIONS
from tests.support.mockbroker import MockBroker

DECLARED = Path(__file__).parent / "declared"
PARTITIONS = {"visits": 2, "readings": 1, "hits": 1}
LOGS = ("visits", "readings")  # hits are megabytes
# The Saturday before clocks change in Berlin; three days, of two months.
FIRST_MS = 1_711_800_000_000
MINUTE_MS = 60_000
_IDLE_S = 8


class Events:
    """Records of the log, the same ones each time."""

    def __init__(self) -> None:
        source = load(DECLARED / "agents/visits.py").visits
        self._schema_id: int = source.schema.id
        raw = json.loads((DECLARED / "schemas/visit.avsc").read_text())
        self._schema = fastavro.parse_schema(raw)
        self._random = random.Random(7)

    def visit(self, id: str, minute: int | None, **changes: object) -> bytes:
        """A visit in a minute after the first one."""
        rng = self._random
        at = None if minute is None else FIRST_MS + minute * MINUTE_MS + rng.randrange(MINUTE_MS)
        fields: dict[str, object] = {
            "id": id,
            "at": at,
            "site": rng.choice(["a", "b", 'ü\n"', None]),
            "device": rng.choice(["PHONE", "PC"]),
            "status": rng.choice([200, 200, 404, 503]),
            "ok": rng.choice([True, False, None]),
            "day": 19_812 + rng.randrange(3),
            "seen": (at or FIRST_MS) * 1_000 + rng.randrange(1_000),
            "size": rng.choice([None, rng.randrange(2_000), -5, 1 << 40]),
            "price": Decimal(rng.randrange(-500, 5_000)).scaleb(-2),
            "load": rng.choice([None, rng.random(), 0.1, -0.0, 1e300]),
            "user": {"name": f"u{rng.randrange(9)}", "age": rng.choice([None, 17, 21, 35])},
            "codes": [rng.randrange(20) for _ in range(rng.randrange(3))],
        }
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._schema, {**fields, **changes})
        return b"\0" + self._schema_id.to_bytes(4, "big") + out.getvalue()

    def visits(
        self, name: str, count: int, minutes: Sequence[int], **changes: object
    ) -> list[bytes]:
        """Visits that come in the order of their minutes."""
        some = [(f"{name}{n}", minutes[n * len(minutes) // count]) for n in range(count)]
        return [self.visit(id, minute, **changes) for id, minute in some]

    def many_codes(self, id: str, minute: int) -> bytes:
        """A visit with more different codes than any state keeps as they are."""
        codes = [*range(9_000), *[17] * 500, *[4] * 300]
        self._random.shuffle(codes)
        return self.visit(id, minute, device="PC", codes=codes)

    def readings(self, start: int, count: int) -> list[bytes]:
        """Readings of which each comes four minutes after the one before, and a broken one."""
        values = [
            {"at": FIRST_MS + n * 4 * MINUTE_MS, "sensor": f"s{n % 3}", "level": n % 7 or None}
            for n in range(start, start + count)
        ]
        odd = [b'{"at": broken', json.dumps({**values[0], "sensor": "test"}).encode()]
        return [json.dumps(value).encode() for value in values] + odd


class World:
    """A folder with agents, and a broker. Everything is done by commands."""

    def __init__(self, folder: Path, broker: MockBroker) -> None:
        self.folder = folder
        self.broker = broker
        shutil.copytree(DECLARED, folder, dirs_exist_ok=True)
        (folder / "agents/visits_by_age.py").rename(folder / "visits_by_age.py")
        (folder / "data").mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if "FASTDATA" not in name},
            "FASTDATA_BROKER": broker.address,
            "FASTDATA_COMMIT_INTERVAL_S": "0.2",
        }
        self._producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5})
        self.sent = dict.fromkeys(PARTITIONS, 0)
        for topic, partitions in PARTITIONS.items():
            for name in (topic, f"{topic}.dead-letters", changelog(topic)):
                broker.create(name, partitions)

    def send(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        """Append values; the log's time is that of the events, about."""
        for value in values:
            stamp = FIRST_MS + self.sent[topic] * MINUTE_MS
            headers: Any = [("trace", b"7")] if self.sent[topic] % 50 == 0 else []
            self._producer.produce(topic, value, b"k", partition, timestamp=stamp, headers=headers)
            self.sent[topic] += 1
        assert self._producer.flush(30) == 0

    def run(self, *command: str) -> str:
        """Run a command of fastdata to its end; what it prints."""
        words = [sys.executable, "-P", "-m", "fastdata.cli.main", *command]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 4), f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def work(self, interval_s: float = 0.2) -> None:
        """Let a worker fold all that was sent, and stop."""
        words = [sys.executable, "-P", "-m", "fastdata.cli.main", "worker"]
        environment = self.environment | {"FASTDATA_COMMIT_INTERVAL_S": str(interval_s)}
        with subprocess.Popen(words, cwd=self.folder, env=environment) as worker:
            deadline = time.monotonic() + 120
            if interval_s > 1:  # nothing shows how far it is
                time.sleep(20)
            while interval_s < 1 and self.folded() != self.sent:
                assert time.monotonic() < deadline, (self.folded(), self.sent)
                time.sleep(0.2)
            time.sleep(3)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(100) == 0
        assert self.folded() == self.sent

    def folded(self) -> dict[str, int]:
        """How many records of each topic the store says are folded."""
        try:
            with closing(sqlite3.connect(self.folder / "data/fastdata.db", timeout=10)) as store:
                rows = store.execute("select topic, sum(next_offset) from progress group by 1")
                return dict.fromkeys(PARTITIONS, 0) | dict(rows)
        except sqlite3.OperationalError:  # no worker has been there yet
            return {}

    def answers(self) -> list[object]:
        """What is answered to each question, in order."""
        return [json.loads(self.run(*words, "--json")) for words in QUESTIONS]

    def records(self, topic: str) -> Iterator[dict[str, object]]:
        """All records of a source's topic, and then of its changelog: it has as many partitions."""
        for name in (topic, changelog(topic)):
            for partition in range(PARTITIONS[topic]):
                for message in read_log(self.broker.address, name, partition):
                    headers: Any = message.headers() or ()
                    yield {
                        "topic": name,
                        "partition": partition,
                        "offset": message.offset(),
                        "timestamp": message.timestamp()[1],
                        "key": _text(message.key()),
                        "value": _text(message.value()),
                        "headers": [[key, _text(value)] for key, value in headers],
                    }

    def committed(self) -> dict[str, list[int]]:
        """The offsets that the group of the workers has committed, by topic."""
        group = Consumer({"bootstrap.servers": self.broker.address, "group.id": "fastdata"})
        places = {t: [TopicPartition(t, p) for p in range(n)] for t, n in PARTITIONS.items()}
        offsets = {
            topic: [found.offset for found in group.committed(some, timeout=10)]
            for topic, some in places.items()
        }
        group.close()
        return offsets


def changelog(topic: str) -> str:
    """The changelog of a source."""
    return f"fastdata-fastdata-{topic}-changelog"


def _text(data: bytes | str | None) -> str | None:
    if data is None:
        return None
    return b64encode(data.encode() if isinstance(data, str) else data).decode()


def begin(world: World, events: Events) -> None:
    """Fold, archive and replay what comes first."""
    minutes = [0, 1, 59, 60, 61, 130, 600, 601, 1_400, 1_445]
    first = events.visits("first", 70, minutes)
    world.send("visits", [*first[:40], events.many_codes("many", 60), *first[40:]])
    world.send("visits", events.visits("other", 45, minutes), partition=1)
    world.send("readings", events.readings(0, 525))
    world.send("hits", [b"/a 200", b"/b 200", b"/a 404"])
    world.work()
    world.run("archive", "--once")
    world.run("replay", "--workers", "0")


def lose(world: World) -> None:
    """Have the log delete hits that no worker has folded; it keeps 5 MiB."""
    for number in range(2):
        world.send("hits", [b"x" * 450_000] * 8)
        world.send("hits", [b"/c 200", b"/%d 200" % number])
        world.run("archive", "--once")


def go_on(world: World, events: Events) -> None:
    """What is late, comes twice, from the future, or cannot be read; then a second version."""
    (world.folder / "visits_by_age.py").rename(world.folder / "agents/visits_by_age.py")
    late = events.visit("late", 0)
    odd = [
        events.visit("second", 1_446),
        late,
        events.visit("first69", 1_445),
        events.visit("future", 40_000_000),
        events.visit("timeless", None),
        b"no magic",
        None,
        b"\0\0\0\0\1of no schema",
    ]
    world.send("visits", odd)
    world.send("visits", [late, *events.visits("third", 14, [1_446, 1_447])], partition=1)
    world.send("visits", events.visits("fourth", 14, [1_447, 1_500]))
    world.send("readings", events.readings(525, 10))
    world.work()
    world.run("archive", "--once")
    world.run("replay", "--workers", "0")
    world.run("verify", "--store-result")


def freshen(world: World, events: Events) -> None:
    """What only the speed layer has counted, or not even that, and tiles have kept."""
    lose(world)
    world.send("visits", events.visits("fresh", 7, [2_100, 2_101, 2_760]))
    world.send("visits", [events.many_codes("more", 2_760)])
    world.send("visits", events.visits("new", 12, [1_500, 2_100, 2_761]), partition=1)
    world.send("visits", [b"bad again", None])
    world.send("readings", [*events.readings(535, 5), events.readings(539, 1)[0]])
    world.work()
    world.run("archive", "--once")
    for words in EXPORTS:
        world.run(*words)


def end(world: World, events: Events) -> None:
    """What comes after all that is kept: the next version shall do the same with it."""
    again = [events.visit("fresh6", 2_760), events.visit("new11", 2_761)]
    # More of what is folded already; without codes, for chance has decided on states of them.
    more = events.visits("more", 8, [2_760], codes=[])
    world.send("visits", [*more, *events.visits("last", 12, [2_101, 2_762]), *again, b"bad"])
    more = events.visits("some", 8, [2_761], codes=[])
    world.send("visits", [*again, *more, *events.visits("end", 12, [2_100, 2_763])], partition=1)
    world.send("readings", [events.readings(539, 1)[0], *events.readings(540, 6)])
    # One flush, of everything, when it stops.
    world.work(interval_s=60)
    world.run("archive", "--once")
    world.run("replay", "--workers", "0")


def pack(folder: Path, to: Path) -> None:
    """A folder as an archive that is the same for the same files."""
    with lzma.open(to, "wb", preset=9) as out, tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            # What RocksDB tells about itself has names of this machine.
            if path.is_file() and not path.name.startswith("LOG"):
                info = tarfile.TarInfo(path.relative_to(folder).as_posix())
                info.size = path.stat().st_size
                archive.addfile(info, io.BytesIO(path.read_bytes()))


def write(content: bytes, to: Path) -> None:
    """Content, compressed."""
    with lzma.open(to, "wb", preset=9) as out:
        out.write(content)


def main(to: Path) -> None:
    """Make everything anew."""
    to.mkdir(parents=True)
    with TemporaryDirectory() as folder, MockBroker() as broker:
        world, events = World(Path(folder), broker), Events()
        begin(world, events)
        lose(world)
        go_on(world, events)
        freshen(world, events)
        answers = world.answers()
        committed = world.committed()
        with closing(sqlite3.connect(world.folder / "data/fastdata.db")) as store:
            store.execute("pragma wal_checkpoint(truncate)")
        for name in ("archive", "state"):
            pack(world.folder / "data" / name, to / f"{name}.tar.xz")
        write((world.folder / "data/fastdata.db").read_bytes(), to / "store.db.xz")
        end(world, events)
        log = [record for topic in LOGS for record in world.records(topic)]
        write(json.dumps(log).encode(), to / "log.json.xz")
        given = {"committed": committed, "before": answers, "after": world.answers()}
        write(json.dumps(given).encode(), to / "answers.json.xz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
