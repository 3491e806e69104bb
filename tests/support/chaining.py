"""A second job over the table that a first one exports to a topic."""

import asyncio
import io
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fastavro

from fastdata.events.schema import HEAD_BYTES
from fastdata.kafka.connection import Broker
from fastdata.kafka.reading import TopicReader
from tests.support.lab import Lab

CHAINED = """
from fastdata import Count, Metric, Source, Sum

hours = Source("hours", topic="{topic}", schema="schemas/{topic}.avsc", time="window_start",
                 id="change_id")
totals = Metric("totals", hours, by=["page"], measures={{
    "changes": Count(), "n": Sum("n_change"), "amount": Sum("amount_change"),
}})
"""


APP = """
from fastdata import attach, load, make_app

app = make_app("{topic}", broker_session_timeout=4.0, broker_heartbeat_interval=1.0)
attach(app, load("agents/clicks.py").pages, load("agents/totals.py").totals)
"""


class Chain:
    """A lab whose clicks by hour are exported to a topic, which a metric `totals` sums.

    Args:
        lab: Of the clicks; its registry is a folder.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.topic = f"{lab.topic}-hours"
        self._export = ["export", "pages", "--every", "1h", "--to", f"kafka://{self.topic}"]

    def begin(self, count: int = 1_000) -> None:
        """Let the first job fold some clicks, and export them."""
        self.lab.produce(count)
        with self.lab.worker():
            self.lab.wait_until_folded(count)
        self.export()

    def declare(self) -> None:
        """Let the workers that begin from now on read the topic, too."""
        (self.lab.folder / "agents/totals.py").write_text(CHAINED.format(topic=self.topic))
        (self.lab.folder / "both_jobs.py").write_text(APP.format(topic=self.lab.topic))

    def export(self) -> dict[str, object]:
        """Bring the topic up to date, once."""
        done = self.lab.fastdata(*self._export, "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, object] = json.loads(done.stdout)
        return report

    @contextmanager
    def following(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Keep the topic up to date; killed at the end."""
        command = [sys.executable, "-m", "fastdata", *self._export, "--follow"]
        process = subprocess.Popen(
            [*command, "--interval", "0.2"], cwd=self.lab.folder, env=self.lab.environment
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def totals(self) -> tuple[Counter[str], Counter[str]]:
        """Events and amounts per page, as the second job says."""
        asked = self.lab.fastdata("query", "totals", "--every", "all", "--by", "page", "--json")
        assert asked.returncode == 0, asked.stderr
        rows = json.loads(asked.stdout)["rows"]
        n, amounts = ({row["page"]: row[name] for row in rows} for name in ("n", "amount"))
        return Counter(n), Counter(amounts)

    def events(self) -> list[dict[str, Any]]:
        """All events of the topic, in the order of each row, with their keys."""
        schema = json.loads((self.lab.folder / f"schemas/{self.topic}.avsc").read_text())
        return [{**_decode(value, schema), "key": key} for key, value in asyncio.run(self._read())]

    async def _read(self) -> list[tuple[bytes, bytes]]:
        async with TopicReader(Broker(self.lab.environment["FASTDATA_BROKER"]), "test") as reader:
            return [(record.key, record.value) async for record in reader.read(self.topic)]

    def wait_until_sent(self, before: int) -> None:
        """Wait until the topic has more events than so many."""
        self.lab.wait_until(lambda: len(self.events()) > before)

    def wait_until_summed(self, timeout_s: float = 120.0) -> None:
        """Wait until the second job has all that was produced, event by event."""
        deadline = time.monotonic() + timeout_s
        while (totals := self.totals()) != (expected := self.lab.expected()):
            assert time.monotonic() < deadline, f"{totals} is not {expected}"
            time.sleep(0.5)


def _decode(value: bytes, schema: dict[str, Any]) -> dict[str, Any]:
    row = fastavro.schemaless_reader(io.BytesIO(value[HEAD_BYTES:]), schema, None)
    assert isinstance(row, dict)
    return row
