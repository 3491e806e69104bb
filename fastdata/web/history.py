"""How fast events were folded, and how far behind that was, during the last hour."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fastdata.coordinates.instants import now_ms
from fastdata.declare.source import Source
from fastdata.errors import FastdataError
from fastdata.store.protocol import NEVER, ServingStore
from fastdata.store.rules import living
from fastdata.web.readers import Deadline, Readers

__all__ = ["History", "PaceSample", "Trend", "rates", "trend"]

_EVERY_S = 10.0
_SAMPLES = 360  # of an hour
_TIMEOUT_S = 5.0
_WIDTH, _HEIGHT = 100, 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PaceSample:
    """One moment.

    Attributes:
        at: ms UTC.
        folded: Of each partition the next offset.
        behind_s: How long ago the moment was up to which all is folded; None when not known.
    """

    at: int
    folded: Mapping[int, int]
    behind_s: float | None


@dataclass(frozen=True, slots=True)
class Trend:
    """A curve of the last hour, and its last value.

    Attributes:
        values: One for each step between samples, or for each sample.
        path: Of an SVG that is 100 wide and 20 high; it begins at zero.
    """

    values: Sequence[float]
    path: str


class History:
    """Samples of each source; one reader for all who look."""

    def __init__(self, sources: Iterable[Source], readers: Readers) -> None:
        self._sources = list(sources)
        self._readers = readers
        self._samples = {s.name: deque[PaceSample](maxlen=_SAMPLES) for s in self._sources}

    async def sample(self) -> None:
        """Take a sample of each source every ten seconds, until it is cancelled."""
        while True:
            try:
                await self._readers.run(self._take, _TIMEOUT_S)
            except FastdataError as error:
                _log.debug("no sample: %s", error)  # the pages say it where it matters
            except Exception:  # noqa: BLE001 - the next one may be taken
                _log.exception("no sample of how fast events are folded")
            await asyncio.sleep(_EVERY_S)

    def of(self, source: str) -> Sequence[PaceSample]:
        """The samples of a source, the oldest first."""
        return list(self._samples[source])

    async def _take(self, store: ServingStore, _deadline: Deadline) -> None:
        for source in self._sources:
            reports = list(living(await store.progress(source.topic)))
            if not reports:
                continue
            now = now_ms()
            until = min(report.read_until for report in reports)
            behind_s = None if until == NEVER else max(now - until, 0) / 1000
            folded = {report.partition: report.next_offset for report in reports}
            self._samples[source.name].append(PaceSample(now, folded, behind_s))


def rates(samples: Sequence[PaceSample]) -> list[float]:
    """Events a second between each sample and the next."""
    return [
        _folded_between(first, after) * 1000 / max(after.at - first.at, 1)
        for first, after in pairwise(samples)
    ]


def _folded_between(first: PaceSample, after: PaceSample) -> int:
    """Of the partitions that both know: another worker's may come and go."""
    both = first.folded.keys() & after.folded.keys()
    return sum(max(after.folded[p] - first.folded[p], 0) for p in both)


def trend(values: Sequence[float]) -> Trend | None:
    """The curve of some values; None where there is none to draw."""
    if len(values) < 2:
        return None
    top = max(*values, 1e-9)
    step = _WIDTH / (len(values) - 1)
    points = [
        f"{i * step:.1f},{_HEIGHT - 1 - v / top * (_HEIGHT - 2):.1f}" for i, v in enumerate(values)
    ]
    return Trend(values, "M" + " L".join(points))
