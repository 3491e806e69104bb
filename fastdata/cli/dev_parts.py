"""The processes of `fastdata dev`."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from secrets import token_hex

from fastdata.cli.dev_log import DevLog
from fastdata.cli.supervisor import KeptProcess
from fastdata.errors import FastdataError

__all__ = ["DevParts"]


_PAGE, _ALERTS = "page", "alerts"


class DevParts:
    """A worker, an archiver, alerts and the page, which are kept running, and replays.

    Args:
        page: Of what port; None for no page.
        has_alerts: Whether any are declared.
        environment: Variables besides those of this process.
        descriptors: What each of them holds, too.
    """

    def __init__(
        self,
        log: DevLog,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        page: int | None,
        *,
        has_alerts: bool,
    ) -> None:
        self._log = log
        self._has_alerts = has_alerts
        before = len(sys.orig_argv) - len(sys.argv) + 1
        self._program = [sys.executable, *sys.orig_argv[1:before]]
        self._environment, self._descriptors = environment, descriptors
        worker = ["worker", "--member", f"dev-{token_hex(8)}", *(["-v"] if log.is_verbose else [])]
        # What is folded has to be archived: the archiver ends after the worker, whoever ends them,
        # and not before it has read as far.
        reading, writing = os.pipe()
        self._kept = [
            self._part("worker", worker, also_holds=writing),
            self._part("archive", ["archive", "--drain"], stdin=reading),
            self._part(_ALERTS, ["alerts"]),
        ]
        if page is not None:
            self._kept.append(self._part(_PAGE, ["serve", "--port", str(page), "--quiet"]))
        self._replay = self._part("replay", ["replay", "--json"])
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._has_changed = False

    def _part(
        self, name: str, command: Sequence[str], also_holds: int | None = None, stdin: int = PIPE
    ) -> KeptProcess:
        held = [*self._descriptors, *([] if also_holds is None else [also_holds])]
        return KeptProcess(
            name, [*self._program, *command], self._log.of(name), self._log.say,
            self._environment, held, stdin,
        )  # fmt: skip

    async def run(self) -> None:
        """Keep them running until they are stopped. May block for ever.

        Raises:
            FastdataError: One cannot start with the declarations that were there first.
        """
        async with asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._keep(kept)) for kept in self._kept]

    async def _keep(self, kept: KeptProcess) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            if kept.name == _ALERTS and not self._has_alerts:
                await self._changed.wait()
                continue
            code = await kept.run()
            if self._stopping.is_set():
                return
            if kept.name == _PAGE and not self._has_changed:
                self._log.say("there is no page; the lines above say why")
                return
            if not self._has_changed:
                raise FastdataError(f"the {kept.name} cannot start; the lines above say why")
            self._log.say(
                f"{kept.name} ended with code {code}; it is started again when a file changes"
            )
            await self._changed.wait()

    def note_change(self) -> None:
        """Take note that one that cannot start may be able to after another change."""
        self._has_changed = True

    def restart(self, *, has_alerts: bool) -> None:
        """Have all begin again with the declarations that there are now."""
        self._has_changed, self._has_alerts = True, has_alerts
        self._changed.set()
        for kept in self._kept:
            kept.restart()

    async def stop(self) -> None:
        """End all in order, one after another."""
        self._stopping.set()
        self._changed.set()
        for kept, task in zip(self._kept, self._tasks, strict=True):
            kept.stop()
            await task

    def kill(self) -> None:
        """End all at once."""
        self._stopping.set()
        for kept in (*self._kept, self._replay):
            kept.kill()

    async def replay(self) -> bool:
        """Count all that is archived; whether that succeeded."""
        code = await self._replay.run_once()
        if code and not self._stopping.is_set():
            self._log.say(f"a replay ended with code {code}; the next one tries it again")
        return code == 0
