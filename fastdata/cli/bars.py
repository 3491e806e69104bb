"""A bar for what takes long, the same in all commands."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["open_bar"]


def open_bar(stack: ExitStack, unit: str) -> "Progress | None":
    """A bar on stderr that goes away at the end; None when that is no terminal.

    Args:
        unit: What is counted; `{task.fields[...]}` of rich is filled in.
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
    return stack.enter_context(
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
    )
