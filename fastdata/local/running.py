"""A `fastdata dev` that runs in this folder, as other commands find it."""

import fcntl
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastdata.local.project import LOCK, is_alive
from fastdata.settings import Settings

__all__ = ["RunningDev", "find_running", "with_running"]


@dataclass(frozen=True, slots=True)
class RunningDev:
    """Where it is reached.

    Attributes:
        page: The URL of its page; None when it has none.
        broker: `host:port` of its embedded broker; None when it uses that of the settings.
    """

    page: str | None
    broker: str | None

    def __str__(self) -> str:
        """For people."""
        broker = self.broker and f"broker {self.broker} (embedded)"
        shown = ", ".join(text for text in (self.page, broker) if text)
        return f"fastdata dev is running here: {shown or 'without a page'}"


def find_running(settings: Settings) -> RunningDev | None:
    """The one whose state is where the settings say; None when none runs, or it just begins."""
    with suppress(OSError, ValueError, TypeError), Path(settings.state, LOCK).open() as file:
        holder, _, addresses = file.read().partition("\n")
        pid = holder.partition(" ")[0]
        if not addresses or not is_alive(int(pid)):
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return RunningDev(**json.loads(addresses))
    return None


def with_running(settings: Settings) -> Settings:
    """The settings, with the embedded broker of a running one where they name no broker."""
    if "broker" in settings.model_fields_set:
        return settings
    running = find_running(settings)
    if running is None or running.broker is None:
        return settings
    return settings.model_copy(update={"broker": running.broker})
