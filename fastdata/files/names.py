"""Names that Avro takes, for keys that it does not."""

import re
from collections.abc import Iterable

__all__ = ["fitted_names"]

_UNFIT = re.compile(r"[^A-Za-z0-9_]+")


def fitted_names(keys: Iterable[str]) -> dict[str, str]:
    """A name for each key: the key itself where Avro takes it, else of its letters and digits.

    No two names differ in case alone, for SQL and file systems take these for the same.
    """
    names: dict[str, str] = {}
    taken = set[str]()
    for key in keys:
        name = _UNFIT.sub("_", key).strip("_") if _UNFIT.search(key) else key
        if not name or name[0].isdigit():
            name = f"field_{name}".rstrip("_")
        free, number = name, 2
        while free.lower() in taken:
            free, number = f"{name}_{number}", number + 1
        taken.add(free.lower())
        names[key] = free
    return names
