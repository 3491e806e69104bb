"""What a replay did, kept for people who ask later: when, how long, how much, or why it failed."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from fastdata.batch.work import Task, Work
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError, SpanConflictError, mask_url
from fastdata.store.past_runs import PastRun, add_past_run
from fastdata.store.protocol import ServingStore

__all__ = ["recording"]

_MOST_TEXT = 1_000
_log = logging.getLogger(__name__)


@asynccontextmanager
async def recording(
    store: ServingStore,
    metrics: Sequence[Metric],
    works: Sequence[Work],
    due: int | None,
    clock: Callable[[], int],
) -> AsyncIterator[None]:
    """Keep what is done inside, also when it fails; what is killed or cancelled is not kept.

    A replay that is done is done: when this cannot be kept, a line of the log says so.

    Args:
        works: Those of the replay so far, at its end.
        due: When a schedule comes again, ms UTC; None where there is none.
        clock: ms UTC.
    """
    began, started = clock(), time.perf_counter()

    async def record(error: FastdataError | None) -> None:
        tasks = {task.metric: task for work in works for task in work.tasks}
        took_s = round(time.perf_counter() - started, 3)
        try:
            for metric in metrics:
                run = _past_run(tasks.get(metric), began, took_s, due, error)
                await add_past_run(store, metric.id, run)
        except FastdataError as unkept:
            _log.warning("what the replay did is not kept: %s", unkept)

    try:
        yield
    except FastdataError as error:
        await record(error)
        raise
    await record(None)


def _past_run(
    task: Task | None, began: int, took_s: float, due: int | None, error: FastdataError | None
) -> PastRun:
    text, is_over = None, False
    if error is not None:
        text = mask_url(str(error))[:_MOST_TEXT]
        # As a schedule judges: it ends with what trying again cannot heal.
        is_over = not error.retriable and not isinstance(error, SpanConflictError)
    run = PastRun(began, took_s, error=text, next=None if is_over else due)
    if task is None:
        return run
    report = task.finish(False)
    return replace(
        run,
        number=report.run,
        start=report.start,
        end=report.end,
        counted=report.recomputed,
        confirmed=report.relabelled,
        events=report.events,
        objects=report.objects,
        object_bytes=report.object_bytes,
    )
