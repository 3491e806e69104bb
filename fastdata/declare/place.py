"""Where something is declared, for the messages about it."""

import sys

__all__ = ["declaring_place"]


def declaring_place() -> str:
    """`file:line` of the nearest caller that is none of this package's modules."""
    # By name: the example of the demo lies in the package, and is loaded as everybody's agents.
    inside = __name__.partition(".")[0] + "."
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(inside):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
