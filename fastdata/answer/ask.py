"""Queries that wait: for scripts and notebooks."""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec

import pyarrow as pa

from fastdata.answer.query import query
from fastdata.errors import QueryError

__all__ = ["ask"]

_P = ParamSpec("_P")
_Blocking = Callable[..., pa.Table]


def _as_of(_query: Callable[_P, object]) -> Callable[[_Blocking], Callable[_P, pa.Table]]:
    """Gives a function the arguments of another one."""

    def with_arguments(function: _Blocking) -> Callable[_P, pa.Table]:
        function.__signature__ = inspect.signature(_query)  # type: ignore[attr-defined]
        return function

    return with_arguments


@_as_of(query)
def ask(*arguments: object, **options: object) -> pa.Table:
    """The answer of `query`, which takes the same arguments, without `await`.

    May block: for scripts, and for notebooks, in which an event loop is running. Where a program
    has a loop of its own, `query` does not hold it up.

        departures = fastdata.load("agents/flights.py").departures
        fastdata.ask(departures, "yesterday", "today", by="origin").to_pandas()

    Raises:
        QueryError: An argument is wrong, a value does not fit its Arrow type, or a store is given
            that is open: it belongs to a loop.
        SettingsError: The URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    if not isinstance(options.get("store"), str | None):
        raise QueryError("store is open, so it is of another event loop: give its URL")
    asked = query(*arguments, **options)  # type: ignore[arg-type]
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(asked)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()
