"""A set of events through the speed layer, and then through each engine of batch."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastdata.batch.job import Engine
from fastdata.store.opening import open_store
from tests.agreement import counting
from tests.agreement.checking import Check
from tests.agreement.driver import Log
from tests.agreement.stages import Deployment, Question, Row

__all__ = ["ENGINES", "STAGES", "Answered", "answer_by_engines"]

ENGINES: tuple[Engine, ...] = ("columns", "rows")
STAGES = ("speed", *ENGINES)


@dataclass(frozen=True)
class Answered:
    """What `fastdata query` said at each stage.

    Attributes:
        store: Its URL; batch has counted everything.
    """

    deployment: Deployment
    store: str
    answers: Mapping[tuple[str, Question], list[Row]]

    def rows(self, stage: str, question: Question) -> list[Row]:
        """The rows of one answer."""
        return self.answers[stage, question]

    def check(
        self,
        records: Sequence[counting.Record],
        stage: str,
        question: Question,
        checks: Mapping[str, Check],
    ) -> None:
        """Compare an answer with the records, which have their time, ms UTC, as `at`."""
        every, start = question.every_ms, question.start_ms
        whole = {"": lambda group: group}
        groups = counting.count(records, "at", every, question.by, whole, start)
        rows = self.rows(stage, question)
        found = {(row["window_start"], *(row[name] for name in question.by)): row for row in rows}
        assert groups.keys() == found.keys()
        for key, group in groups.items():
            for name, holds in checks.items():
                holds(group[""], name, found[key])  # type: ignore[arg-type]


def answer_by_engines(
    deployment: Deployment,
    log: Log,
    questions: Sequence[Question],
    engines: Sequence[Engine] = ENGINES,
    workers: int = 0,
) -> Answered:
    """Fold the log, and ask; then have each engine count all of it anew, and ask again."""
    loop = deployment.loop(log)
    url = f"sqlite:///{deployment.folder / 'store.db'}"
    answers: dict[tuple[str, Question], list[Row]] = {}

    async def run(engine: Engine | None) -> None:
        async with open_store(url) as store:
            if engine is None:
                await loop.start(store)
                await loop.drain()
            else:
                loop.store = store
                await loop.replay(workers, engine, force=True)

    log.fill(deployment.source.segment_size)
    for engine in (None, *engines):
        asyncio.run(run(engine))
        stage = engine or "speed"
        answers |= {(stage, question): deployment.ask(question) for question in questions}
        if engine is None:
            asyncio.run(loop.archive())
    return Answered(deployment, url, answers)
