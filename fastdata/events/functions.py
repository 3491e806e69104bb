"""Functions whose Python is written while the program runs."""

import linecache
import weakref
from collections.abc import Mapping
from itertools import count
from typing import Any

__all__ = ["make_function"]

_number = count()


def make_function(source: str, names: Mapping[str, object], title: str) -> Any:
    """The function that a source text defines; a traceback shows its lines.

    Args:
        source: Begins with `def`.
        names: What it uses.
        title: What the file of a traceback is called, between angle brackets.
    """
    file = f"<{title} {next(_number)}>"
    defined = dict(names)
    exec(compile(source, file, "exec"), defined)  # noqa: S102 - who writes it knows all of it
    function = defined[source[4 : source.index("(")]]
    # Without a time of change it is never taken for a file that is gone.
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    weakref.finalize(function, linecache.cache.pop, file, None).atexit = False
    return function
