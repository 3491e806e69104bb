"""Named places where a test may stop the program.

A failpoint is set by `set_action` or by the environment, as in
`FASTDATA_FAILPOINTS="flush.after_table=kill@3;archive.after_object=raise"`: the
third time that the place is reached, the process kills itself. Nothing of this has
an effect unless it is set.
"""

import os
import signal
from dataclasses import dataclass

__all__ = ["FailpointError", "clear", "reach", "reset", "set_action"]


class FailpointError(RuntimeError):
    """A failpoint with the action `raise` was reached."""


@dataclass(slots=True)
class _Action:
    kind: str
    remaining: int


_actions: dict[str, _Action] = {}


def set_action(name: str, kind: str, at: int = 1) -> None:
    """Act the `at`-th time that the place `name` is reached, and then no more.

    Args:
        name: As in `reach("flush.after_table")`.
        kind: "kill", which is the end of the process, or "raise" a `FailpointError`.
        at: 1 or more.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in ("kill", "raise"):
        raise ValueError(f"unknown action {kind!r} of failpoint {name!r}: use kill or raise")
    _actions[name] = _Action(kind, at)


def clear(name: str) -> None:
    """Forget the action of a failpoint, if there is one."""
    _actions.pop(name, None)


def reset() -> None:
    """Forget all actions."""
    _actions.clear()


def reach(name: str) -> None:
    """Mark a place; it does nothing unless an action is set for it.

    Raises:
        FailpointError: The action is `raise`.
    """
    if not _actions or (action := _actions.get(name)) is None:
        return
    action.remaining -= 1
    if action.remaining > 0:
        return
    del _actions[name]
    if action.kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailpointError(f"failpoint {name} was reached")


def _read_environment(text: str) -> None:
    for part in filter(None, text.split(";")):
        name, _, rest = part.partition("=")
        kind, _, count = rest.partition("@")
        set_action(name.strip(), kind.strip(), int(count or 1))


_read_environment(os.environ.get("FASTDATA_FAILPOINTS", ""))
