"""`fastdata replay --every`."""

import asyncio
import atexit
import json
import os
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click

from fastdata.cli.monitoring import ReplayTelemetry, with_port
from fastdata.cli.reporting import minute, show_report
from fastdata.cli.signals import SIGNALS
from fastdata.coordinates.instants import to_datetime
from fastdata.errors import ReplayError, mask_url

if TYPE_CHECKING:
    from fastdata.batch.job import Engine
    from fastdata.batch.schedule import ScheduledRun
    from fastdata.declare.metric import Metric
    from fastdata.settings import Settings

__all__ = ["repeat", "show_run"]

_STOP_LIMIT_S = 2.0


async def repeat(
    names: Sequence[str],
    every: timedelta,
    window: timedelta | None,
    workers: int | None,
    max_writes_per_s: float | None,
    engine: "Engine | None",
    port: int | None,
    as_json: bool,
) -> None:
    """Replay at the multiples of an interval until SIGTERM or Ctrl-C.

    Args:
        names: Of metrics; all when there is none.
        window: None for 30 days.
        port: Of metrics; None for that of the settings.
    """
    from fastdata.archive import open_archive_storage
    from fastdata.batch.schedule import replay_every
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.store.opening import open_store

    settings = Settings.load(**with_port(port))
    metrics = load_folder(settings.agents).chosen(names)
    reach = window or timedelta(days=30)
    read_drift = partial(_read_drift, settings, metrics, reach)
    telemetry = ReplayTelemetry(settings, read_drift, _print_json if as_json else show_run)
    async with telemetry:
        replaying = replay_every(
            every,
            metrics,
            open_store=partial(open_store, settings.store),
            archive=open_archive_storage(settings.archive, create=False),
            window=reach,
            workers=workers,
            complete=not names,
            max_writes_per_s=max_writes_per_s,
            engine=engine,
            on_run=telemetry.note,
        )
        await _until_stopped(
            asyncio.create_task(replaying),
            (lambda _text: None) if as_json else partial(click.echo, err=True),
        )


async def _read_drift(
    settings: "Settings", metrics: "Sequence[Metric]", window: timedelta
) -> dict[tuple[str, ...], float]:
    """The mean error of the speed layer in the window, as the last verifications stored it."""
    from fastdata.answer.query import query
    from fastdata.store.opening import open_store
    from fastdata.verify.errors_metric import errors_of

    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    start = end - max(window, timedelta(hours=1))
    drift = dict[tuple[str, ...], float]()
    async with open_store(settings.store, create=False) as store:
        for metric in metrics:
            answer = await query(
                errors_of(metric), start, end, every="all", by="measure", store=store
            )
            for row in answer.to_pylist():
                if row["measure"] is not None and row["error"] is not None:
                    drift[metric.name, row["measure"]] = row["error"]
    return drift


async def _until_stopped(task: asyncio.Task[object], say: Callable[[str], None]) -> None:
    """Wait for the task; a signal cancels it, and a second one does what it does by default.

    The process ends within some 2 s of the signal, whatever is under way: all of it can be done
    again.
    """
    loop = asyncio.get_running_loop()
    stopped: list[int] = []

    def cancel() -> None:
        say("stopping; what is published stays, and the next start goes on")
        task.cancel()

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not by the loop: it stands still while this process computes a job itself.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.setitimer(signal.ITIMER_REAL, _STOP_LIMIT_S)
        # Python ends without its handlers, and SIGALRM would kill it.
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
        loop.call_soon_threadsafe(cancel)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        await task
    except (asyncio.CancelledError, ReplayError):
        # The signal may have reached the worker processes first.
        await asyncio.sleep(0)
        if not stopped:
            raise


def _print_json(run: "ScheduledRun") -> None:
    error = mask_url(str(run.error)) if run.error else None
    click.echo(json.dumps(run.as_dict() | {"error": error}))


def show_run(run: "ScheduledRun") -> None:
    """Print what a run of a schedule did, and when the next one is."""
    click.echo(f"{minute(run.started)} UTC")
    for report in (run.resumed, run.report):
        if report is not None:
            show_report(report)
    for older in run.uncounted:
        click.echo(
            f"warning: {older.metric}: {older.events:,} events in {older.hours:,} hours from "
            f"{minute(older.start)} to {minute(older.end)} UTC are not counted, as the window "
            f"begins at {minute(run.window_start)}; this counts them: {older.command}"
        )
    if run.error:
        click.echo(f"failed: {mask_url(str(run.error))}", err=True)
    late = "it took longer than the interval, so " if run.is_overrun and not run.error else ""
    due = f"{to_datetime(run.next):%Y-%m-%d %H:%M:%S}" if run.error else minute(run.next)
    click.echo(f"{late}the next run is at {due} UTC")
