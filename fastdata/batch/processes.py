"""Jobs to worker processes, a bounded number ahead of who takes the results."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Self, TypeVar

from fastdata.batch.engine import DeclaredMetric, fold_declared, fold_job
from fastdata.batch.job import Engine, Job, JobResult
from fastdata.declare.metric import Metric
from fastdata.errors import ReplayError

__all__ = ["FoldingPool", "choose_workers"]

_T = TypeVar("_T")
# Below it, starting processes takes as long as they would save.
_SMALL_EVENTS: Mapping[Engine, int] = {"rows": 20_000, "columns": 3_000_000}
# More are for who has the memory: some 120 MB each.
_DEFAULT_WORKERS = 2
# Of hours with more, one at a time: an event may be a cell of its own, which takes a kilobyte.
_EVENTS_AT_ONCE = 500_000


def choose_workers(wanted: int | None, groups: Mapping[Engine, Sequence[int]]) -> int:
    """How many processes to start; 0 computes in this one.

    Args:
        wanted: None: as many as there are processors, at most 2; none for little work, and one
            where groups are so large that they are computed one at a time.
        groups: How many events each job has, by the engine.
    """
    if wanted is not None:
        return wanted
    if all(sum(groups.get(engine, ())) < small for engine, small in _SMALL_EVENTS.items()):
        return 0
    sizes = [events for of_engine in groups.values() for events in of_engine]
    at_once = max(1, _EVENTS_AT_ONCE // max(sizes))
    return min(os.cpu_count() or 1, _DEFAULT_WORKERS, len(sizes), at_once)


class FoldingPool:
    """Folds jobs, in worker processes or, with none, in this one.

    Use as a context manager: leaving it stops the processes, in the midst of their jobs where an
    error or a cancellation leaves it.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._workers:
            # A fork would copy the threads' locks of the drivers in whatever state they are.
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, context, initializer=_prepare)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._pool is None:
            return
        if kind is not None:
            # Nobody waits for their jobs, which can be done again; an executor would.
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    async def results(
        self, metrics: Sequence[Metric], jobs: AsyncIterator[tuple[_T, Job]]
    ) -> AsyncGenerator[tuple[_T, JobResult]]:
        """The results of jobs, in their order.

        With worker processes, the next ones are computed while the caller deals with a result: as
        many as there are processes and one more, but of 500,000 events at most if they are several.

        Args:
            metrics: Of one source; the jobs mean them by their index.
            jobs: With a label each; a job is asked for when a process will soon be free for it.

        Raises:
            ReplayError: A process died, a span has not the number of events that the manifest
                says, or a metric cannot fold an event.
            LoadError: A worker process cannot load a file that this one could.
            DeclarationError: The same.
            MapError: The source's map function raised, or a value is not of its declared type.
        """
        declared = _declared(metrics)
        loop = asyncio.get_running_loop()
        running: deque[tuple[_T, asyncio.Future[JobResult], int]] = deque()
        ready: deque[tuple[_T, JobResult]] = deque()
        try:
            async for label, job in jobs:
                if self._pool is None or declared is None:
                    yield label, fold_job(metrics, job)
                    continue
                events = sum(job.spans.values())
                while running and sum(size for _, _, size in running) + events > _EVENTS_AT_ONCE:
                    ready.append((running[0][0], await running.popleft()[1]))
                future = loop.run_in_executor(self._pool, fold_declared, declared, job)
                running.append((label, future, events))
                del job  # Its records are many, and the next ones are about to be read.
                if len(running) > self._workers:
                    ready.append((running[0][0], await running.popleft()[1]))
                # Only now, when the processes have their next job, may the caller take its time.
                while ready:
                    yield ready.popleft()
            while running:
                yield running[0][0], await running.popleft()[1]
        except BrokenProcessPool as error:
            raise ReplayError(
                "a worker process of the replay died (was it out of memory?); what is published "
                "stays: finish with --resume, perhaps with fewer --workers"
            ) from error
        finally:
            for _, future, _ in running:
                future.cancel()


def _declared(metrics: Sequence[Metric]) -> list[DeclaredMetric] | None:
    """Where worker processes find the metrics; None when they cannot."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    declared = []
    for metric in metrics:
        path = Path(metric.place.rpartition(":")[0]).resolve()
        if not path.is_file() or (main is not None and path == Path(main).resolve()):
            return None
        declared.append(DeclaredMetric.of(metric, str(path)))
    return declared


def _prepare() -> None:
    # Ctrl-C goes to the whole group; the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    # Nobody else would end a worker whose parent was killed: it waits on a pipe it holds open.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
