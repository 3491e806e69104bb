"""`fastdata doctor`."""

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from fastdata.errors import FastdataError

if TYPE_CHECKING:
    from fastdata.operate.doctor import Check, CheckResult

__all__ = ["doctor"]

_CODES = {"ok": 0, "warning": 1, "failed": 2}
_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(short_help="Check that all that fastdata needs is there and set right.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Check that all that fastdata needs is there and set right.

    Settings, declarations, installed versions, broker, topics, registry, archive, store, clock,
    state folder, and whether each topic is the log that was counted: all of them, side by side,
    whatever fails, and within half a minute. Nothing is changed: a probe object is written to the
    archive and deleted, and the store is given a row that it has.

    Exit code 0 when all is well, 1 with warnings, 2 when something fails.

    \b
    Examples:
      fastdata doctor
      fastdata doctor --json | jq '.results[] | select(.level != "ok")'
    """  # noqa: D301  (click wants the backspace)
    logging.disable()  # what matters is a result
    results = asyncio.run(_examine(as_json))
    sys.exit(_code(results))


async def _examine(as_json: bool) -> "list[CheckResult]":
    from fastdata.operate.doctor import CheckResult, Level, examine

    first, checks = _prepare()
    results = [CheckResult(name, Level(level), text) for name, level, text in first]
    results += await examine(checks)
    if as_json:
        body = {"results": [result.as_dict() for result in results]}
        click.echo(json.dumps(body, indent=2))
    else:
        _show(results)
    if any(result.is_late for result in results):
        sys.stdout.flush()
        os._exit(_code(results))  # what hangs would hold up an end in order
    return results


def _prepare() -> "tuple[list[tuple[str, str, str]], dict[str, Check]]":
    """What is found without asking anybody, and the checks that it allows."""
    from fastdata.declare.catalog import load_folder
    from fastdata.local.running import find_running, with_running
    from fastdata.operate.checks import checks_of, versions
    from fastdata.settings import Settings

    try:
        settings = Settings.load()
    except FastdataError as error:
        text = f"{error}; nothing else can be checked before"
        return [("settings", "failed", text)], {"versions": versions}
    first = [("settings", "ok", "each is a setting, and of its type")]
    if running := find_running(settings):
        first.append(("dev", "ok", str(running)))
        settings = with_running(settings)
    try:
        catalog = load_folder(settings.agents)
    except FastdataError as error:
        return [*first, ("declarations", "failed", str(error))], checks_of(settings, None)
    counts = f"sources: {len(catalog.sources)}, metrics: {len(catalog.metrics)}"
    return [*first, ("declarations", "ok", counts)], checks_of(settings, catalog)


def _show(results: "list[CheckResult]") -> None:
    width = max(len(result.check) for result in results)
    for result in results:
        level = click.style(f"{result.level:<7}", fg=_COLORS[result.level])
        click.echo(f"{level}  {result.check:<{width}}  {result.text}")


def _code(results: "list[CheckResult]") -> int:
    return max((_CODES[result.level] for result in results), default=0)
