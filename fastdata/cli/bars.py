"""A bar for what takes long, the same in all commands."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

__all__ = ["open_bar"]


def open_bar(
    stack: ExitStack, name: str, unit: str, fields: Callable[..., dict[str, Any]]
) -> Callable[..., None] | None:
    """A bar on stderr that goes away at the end; None when that is no terminal.

    Args:
        name: Shown before it, until `fields` has a description.
        unit: What is counted, until `fields` has another one.
        fields: From a report of progress, what rich is to show.

    Returns:
        What is to be told of progress.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = stack.enter_context(bar).add_task(name, total=None, unit=unit)
    return lambda *progress: bar.update(task, **fields(*progress))
