"""Clicks in one partition, both layers over them, and a verification."""

import json
from collections.abc import Sequence
from pathlib import Path

from fastdata import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.store.protocol import ServingStore, Total
from fastdata.verify.reports import VerifiedMetric, VerifyReport
from fastdata.verify.verify import verify
from tests.agreement.driver import Log, Loop
from tests.agreement.stages import Deployment
from tests.agreement.traffic import HOUR, START

__all__ = ["HOUR", "MINUTE", "SEGMENT", "START", "Clicks"]

MINUTE = 60_000
SEGMENT = 10
DECLARED = Path(__file__).parents[1] / "agreement" / "declared"
AGENTS = DECLARED / "agents" / "clicks.py"


class Clicks:
    """A deployment of one partition.

    Args:
        metrics: How many of those that are declared run from the beginning; all if None.
        more: Text that is appended to the declaration.
        segment: How many events a segment holds.
        source: Further arguments of the source.
        name: What source, topic and first metric are called instead of as they are declared.
    """

    def __init__(
        self,
        folder: Path,
        store: ServingStore,
        more: str = "",
        metrics: int | None = None,
        segment: int = SEGMENT,
        source: str = "",
        name: str = "",
    ) -> None:
        text = AGENTS.read_text()
        end = text.splitlines()[-1]
        changes = {"segment_size=100,": f"segment_size={segment}, {source}"}
        if name:
            changes['"clicks",\n    topic="clicks"'] = f'"{name}",\n    topic="{name}"'
            changes['"visits"'] = f'"{name}"'
        if more:
            changes[f'        "users": Uniques("user"),\n    }},\n{end}'] = (
                f'        "users": Uniques("user"),\n    }},\n{end}\n{more}'
            )
        self.deployment = Deployment(folder, AGENTS, DECLARED / "schemas", changes)
        self.loop: Loop = self.deployment.loop(Log(1))
        self.declared = list(self.loop.metrics)
        self.loop.metrics = self.declared[:metrics]
        self.store = store
        self.sent = 0

    @property
    def visits(self) -> Metric:
        return self.declared[0]

    @property
    def registry(self) -> FolderRegistry:
        return FolderRegistry(self.deployment.folder / "schemas")

    def send(self, minute: float, id: str | None = None, **fields: object) -> None:
        """A click so many minutes after the start; it comes at that time unless it is told."""
        at = START + round(minute * MINUTE)
        came = fields.pop("came", at)
        assert isinstance(came, int)
        click: dict[str, object] = {
            "click": id or f"c{self.sent}",
            "at": at,
            "place": "Oslo",
            "user": self.sent % 4,
            "amount": 10 + self.sent,
            "seconds": 0.5,
        }
        self.loop.log.send(0, encode(self.loop.source.schema, click | fields), came)
        self.sent += 1

    async def fold(self) -> None:
        """Have a worker fold all that has come."""
        if not hasattr(self.loop, "layer"):
            await self.loop.start(self.store)
        await self.loop.drain()

    async def replay(self, *, close: bool = True) -> None:
        """Archive and count all that has come."""
        if close:
            self.loop.log.fill(self.loop.source.segment_size)
        await self.loop.archive()
        self.loop.store = self.store
        await self.loop.replay()

    async def verify(self, **options: object) -> VerifyReport:
        """A verification of all that runs."""
        return await verify(
            self.loop.metrics,
            store=self.store,
            archive=self.loop.archived,
            **options,  # type: ignore[arg-type]
        )

    async def verified(self) -> VerifiedMetric:
        """The report about `visits`."""
        return (await self.verify()).metrics[0]

    async def alter_total(self, window: int, change: Sequence[tuple[int, object]]) -> None:
        """Store other states of one total, as a mistake of batch would."""
        metric, source, span = self.visits, self.loop.source, START
        reading = await self.store.read(
            metric.id, unfolded_of(source).id, source.topic, span, span + HOUR
        )
        totals: list[Total] = []
        for total in reading.totals:
            states = metric.load(total.state)
            for index, value in change if total.window == window else ():
                states[index] = metric.aggregates[index].add(states[index], value)
            totals.append(total._replace(state=metric.dump(states)))
        stored = self.store._totals  # type: ignore[attr-defined]
        stored[metric.id, span, reading.heads[span].version] = totals

    async def rows(self, *words: str) -> list[dict[str, object]]:
        """What `query` says of the errors, by these dimensions."""
        from fastdata.answer.query import query
        from fastdata.verify.errors_metric import errors_of

        table = await query(errors_of(self.visits), every="all", by=words, store=self.store)
        return list(table.to_pylist())


def found(report: VerifiedMetric) -> list[tuple[object, ...]]:
    """The differences that nothing explains, in short."""
    return [(f.layer, f.span, f.place, f.measure, f.answer, f.expected) for f in report.findings]


def dims(*values: object) -> str:
    return json.dumps(values)
