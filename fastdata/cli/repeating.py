"""What commands share that do the same again and again until they are stopped."""

import asyncio
from contextlib import suppress
from functools import partial

import click

__all__ = ["interval_option", "pause"]

interval_option = partial(
    click.option,
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
