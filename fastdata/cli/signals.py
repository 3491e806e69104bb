"""What SIGTERM and Ctrl-C do to a command before it takes them itself, also as process 1.

Imports next to nothing, so that it is there first.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

__all__ = ["SIGNALS", "SUPERVISED", "exit_code", "leave_at_once", "on_signal", "stop_as_by_ctrl_c"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SUPERVISED = "FASTDATA_SUPERVISED"
"""A variable that a process has when it ends with the one that has started it."""

# Commands that run until they are stopped: with which option, and unless with which word.
_SERVICES = {
    "alerts": ("", ("--once",)),
    "archive": ("", ("--once", "import")),
    "dev": ("", ("--exit",)),
    "mcp": ("", ()),
    "query": ("--watch", ()),
    "replay": ("--every", ()),
    "send": ("", ("--from-file",)),
    "serve": ("", ()),
    "worker": ("", ()),
}

_received: list[int] = []


def leave_at_once() -> None:
    """Have a signal end this process at once, since nothing has begun that could be left half done.

    With exit code 0 where a command runs until it is stopped, for it is stopped then; else with
    128 and the number of the signal, for it has not done what it was called for.
    """
    for number in SIGNALS:
        signal.signal(number, _leave)


def stop_as_by_ctrl_c() -> None:
    """Have SIGTERM do what Ctrl-C does, in a command that ends by itself.

    One that runs until it is stopped goes on leaving at once, until it takes the signals itself.
    """
    if not _is_service(sys.argv[1:]):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _interrupt)


def on_signal(stop: Callable[[], object]) -> None:
    """Have a signal call this in the running event loop, and do nothing else."""
    from asyncio import get_running_loop

    for number in SIGNALS:
        get_running_loop().add_signal_handler(number, stop)


def exit_code() -> int:
    """Of a command that was interrupted."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(0 if _is_service(sys.argv[1:]) else 128 + number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    signal.raise_signal(signal.SIGINT)


def _is_service(words: list[str]) -> bool:
    wanted, refused = _SERVICES.get(words[0] if words else "", (None, ()))
    if wanted is None or any(word.startswith((*refused, "-h", "--help")) for word in words):
        return False
    return any(word.startswith(wanted) for word in words)
