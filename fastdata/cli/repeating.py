"""What commands share that do the same again and again until they are stopped."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

__all__ = ["interval_option", "pause"]


def interval_option(text: str) -> Callable[..., Any]:
    """The option `--interval`, as `interval_s`; what --help says of it is up to the command."""
    return click.option(
        "--interval",
        "interval_s",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help=text,
    )


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
