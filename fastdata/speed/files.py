"""How many files a worker may open, and how they are shared by the partitions of its state."""

import resource
from pathlib import Path

from fastdata.errors import SettingsError

__all__ = ["check_room", "raise_limit", "tables_of_partition"]

# A store of RocksDB that is empty: manifest, log, its own log, lock, and its folder twice.
_FILES_OF_STORE = 6
# Measured of a worker with two sources, besides its state: connections, libraries, logs.
_OTHER_FILES = 100
# RocksDB keeps ten for itself, and takes no less.
_FEWEST_TABLES, _MOST_TABLES = 20, 256
# Where the hard limit has no end.
_ENOUGH = 1 << 20


def raise_limit() -> int:
    """Raise the limit of open files as far as this process may; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _ENOUGH) if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower limit that it does not tell
        return soft
    return wanted


def tables_of_partition(limit: int, partitions: int) -> int:
    """RocksDB's `max_open_files` of each partition, so that one worker may own all of them.

    Args:
        limit: Of open files.
        partitions: Of all sources.
    """
    share = (limit - _OTHER_FILES) // max(1, partitions) - _FILES_OF_STORE
    return min(_MOST_TABLES, max(_FEWEST_TABLES, share))


def check_room(partitions: int) -> None:
    """See that so many more partitions of state may be opened.

    Raises:
        SettingsError: They are too many for the limit; says what to do.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sum(1 for _ in Path("/dev/fd").iterdir()) + partitions * _FILES_OF_STORE
    if needed > limit:
        raise SettingsError(
            f"the state of {partitions} more partitions needs {needed} open files, this process "
            f"may have {limit}: raise its hard limit (ulimit -Hn, LimitNOFILE of systemd, "
            "--ulimit nofile of Docker), or start more workers; see `fastdata size`"
        )
