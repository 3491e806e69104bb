"""Ends a process that makes no progress. Faust and aiokafka can hang without a word."""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["EXIT_FAILED", "Sign", "Watchdog", "end_process"]

EXIT_FAILED = 70

_STDERR = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of life.

    Attributes:
        name: What is watched.
        progress: Changes whenever something moves on; None while there is nothing to do.
        limit_s: How many seconds it may stay the same.
    """

    name: str
    progress: Hashable
    limit_s: float


def end_process(code: int) -> NoReturn:
    """Print the stacks of all threads and end at once, without any clean-up."""
    try:
        # By number: a Faust worker puts a logger in place of sys.stderr.
        faulthandler.dump_traceback(file=_STDERR, all_threads=True)
    finally:
        os._exit(code)


class Watchdog:
    """Looks at signs of life from a thread of its own, so that a hanging loop cannot stop it.

    Args:
        end: Ends the process; gets the exit code.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        end: Callable[[int], object] = end_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._end = end
        self._clock = clock
        self._seen: dict[str, tuple[Sign, float]] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def report(self, signs: Iterable[Sign]) -> None:
        """Replace what is watched. A sign with unchanged progress keeps its age."""
        now = self._clock()
        seen = {}
        with self._lock:
            for sign in signs:
                before = self._seen.get(sign.name)
                is_same = before is not None and before[0].progress == sign.progress
                seen[sign.name] = (sign, before[1] if before and is_same else now)
            self._seen = seen

    def age_s(self, name: str) -> float:
        """For how long a sign has been the same; 0 when there is nothing to do."""
        sign, since = self._seen.get(name, (None, 0.0))
        return 0.0 if sign is None or sign.progress is None else self._clock() - since

    def ages(self) -> list[tuple[str, float, float]]:
        """Of each sign its name, for how long it has been the same, and its limit, in seconds."""
        with self._lock:
            signs = [sign for sign, _ in self._seen.values()]
        return [(sign.name, self.age_s(sign.name), sign.limit_s) for sign in signs]

    def check(self) -> None:
        """End the process when a sign is older than its limit."""
        now = self._clock()
        with self._lock:
            signs = list(self._seen.values())
        for sign, since in signs:
            if sign.progress is not None and now - since > sign.limit_s:
                logger.critical(
                    "fastdata ends this worker: no progress of %s for %.0f s (stood at %s); "
                    "nothing is lost, start it again",
                    sign.name, now - since, sign.progress,
                )  # fmt: skip
                self._end(EXIT_FAILED)
                return

    def start(self, every_s: float = 5.0) -> None:
        """Check from a daemon thread until `stop`."""
        self._stopped.clear()
        args = (every_s,)
        threading.Thread(target=self._run, args=args, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self, every_s: float) -> None:
        while not self._stopped.wait(every_s):
            self.check()
