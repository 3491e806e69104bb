"""The app that `faust -A fastdata worker` runs: everything in the folder of agents."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import faust

from fastdata.declare.catalog import load_folder
from fastdata.errors import FastdataError
from fastdata.settings import Settings
from fastdata.speed.app import make_app
from fastdata.speed.attach import attach
from fastdata.speed.service import SpeedService

if TYPE_CHECKING:
    app: faust.App

__all__ = ["make_worker_app", "run_worker"]

_STDERR = 2


def make_worker_app(settings: Settings | None = None, member: str | None = None) -> faust.App:
    """An app with all metrics of the folder of agents.

    Args:
        member: As of `run_worker`.

    Raises:
        SettingsError: A setting is wrong.
        LoadError: There are no agents, or a file cannot be loaded.
        DeclarationError: A declaration is wrong.
    """
    settings = settings or Settings.load()
    catalog = load_folder(settings.agents)
    worker_app = make_app(settings=settings, consumer_group_instance_id=member)
    attach(worker_app, *catalog.sources.values(), *catalog.metrics.values(), settings=settings)
    return worker_app


def run_worker(
    settings: Settings | None = None, loglevel: str = "WARNING", *, member: str | None = None
) -> None:
    """Run a worker in this process until SIGTERM or Ctrl-C; then flush, and exit.

    May block for ever. Exits with 0 after a signal, with 1 and one line that says why when
    it cannot start, with 70 and a dump of all stacks when it cannot go on.

    Args:
        member: A name that no other worker has; one that is started again with the same name
            within its session of 10 s goes on without a rebalance of the others.

    Raises:
        SettingsError: A setting is wrong.
        LoadError: There are no agents, or a file cannot be loaded.
        DeclarationError: A declaration is wrong.
    """
    worker_app = make_worker_app(settings, member)
    SpeedService.of(worker_app, None).say = _say
    worker = faust.Worker(worker_app, loglevel=loglevel, redirect_stdouts=False)
    # Faust hides the cursor for its spinner; a process that ends at once never shows it again.
    if member is not None:
        worker.spinner = None  # which writes no lines, and others write to the same log
    elif worker.spinner is not None:
        worker.spinner.cursor_hide = ""
    worker.execute_from_commandline()


def _say(text: str) -> None:
    with suppress(OSError):  # whoever read it is gone, and the worker goes on
        os.write(_STDERR, f"fastdata: {text}\n".encode())


def __getattr__(name: str) -> object:
    # Made when it is asked for, so that importing this module reads no settings and no agents.
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = make_worker_app()
    except FastdataError as error:
        raise SystemExit(f"fastdata: {error}") from error
    globals()["app"] = made
    return made
