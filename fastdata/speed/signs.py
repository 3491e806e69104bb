"""Signs of life of a Faust app as a whole, for the watchdog."""

import time
from collections.abc import Iterator
from typing import cast

import faust
from faust.tables.manager import TableManager

from fastdata.speed.watchdog import Sign

__all__ = ["signs_of_app"]

_LOOP_LIMIT_S = 30.0
_RECOVERY_LIMIT_S = 300.0
_RESTORE_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0


def signs_of_app(app: faust.App, *, has_joined: bool) -> Iterator[Sign]:
    """Of its event loop, which asks, of its end, its group and its recovery.

    Args:
        has_joined: Whether it has got partitions, or been told that there are none.
    """
    yield Sign("the event loop", time.monotonic_ns(), _LOOP_LIMIT_S)
    yield Sign("the shutdown", "stopping" if app.should_stop else None, _STOP_LIMIT_S)
    joining = None if has_joined else "waiting for partitions"
    yield Sign("the consumer group", joining, _RECOVERY_LIMIT_S)
    recovery = cast(TableManager, app.tables).recovery
    restored = sum(offset or 0 for offset in recovery.active_offsets.values())
    moving = app.rebalancing or app.in_recovery
    is_restoring = recovery.in_recovery and recovery.need_recovery()
    progress = (app.rebalancing_count, is_restoring, restored) if moving else None
    limit_s = _RESTORE_LIMIT_S if is_restoring else _RECOVERY_LIMIT_S
    yield Sign("the recovery of the state", progress, limit_s)
