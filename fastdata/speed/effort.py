"""How much a worker has done for a source, and what that took."""

import time
from dataclasses import dataclass

__all__ = ["Effort"]


@dataclass(slots=True)
class Effort:
    """Counted since the start, by chunk and by flush; seconds are of the wall clock.

    Attributes:
        events: That were folded or left out.
        flushes: That have begun.
        flushed: That have ended.
    """

    events: int = 0
    fold_s: float = 0.0
    flushes: int = 0
    flushed: int = 0
    flush_s: float = 0.0

    def note_fold(self, events: int, began_s: float) -> None:
        """Count a stretch of events that began at a time of the monotonic clock."""
        self.events += events
        self.fold_s += time.monotonic() - began_s

    def begin_flush(self) -> float:
        """Count a flush that begins; returns when that is, for `note_flush`."""
        self.flushes += 1
        return time.monotonic()

    def note_flush(self, began_s: float) -> None:
        """Count a flush that has ended."""
        self.flushed += 1
        self.flush_s += time.monotonic() - began_s
