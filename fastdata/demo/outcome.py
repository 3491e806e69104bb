"""What a demo shows while it runs, and what it has found at the end."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fastdata.demo.answers import Answer, Latest, SketchError, published_numbers, sketch_error
from fastdata.demo.flights import PUBLISHED
from fastdata.operate.status import SourceStatus

__all__ = ["Moment", "Outcome"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What can be seen while events flow.

    Attributes:
        total: Events to send.
        sent: Events sent.
        source: Status of the flights.
        latest: The newest numbers.
        at_s: When it was seen, by a monotonic clock.
        moved_s: When something last moved, by the same.
        per_s: Events folded a second, lately; smoothed, since they are folded in flushes.
    """

    total: int
    sent: int
    source: SourceStatus
    latest: Latest | None
    at_s: float
    moved_s: float
    per_s: float = 0.0

    def next(self, sent: int, source: SourceStatus, latest: Latest | None, at_s: float) -> "Moment":
        """The moment after this one."""
        later = Moment(self.total, sent, source, latest, at_s, at_s)
        per_s = 0.8 * self.per_s + 0.2 * (later.folded - self.folded) / (at_s - self.at_s)
        is_still = (sent, later.folded, later.archived) == (self.sent, self.folded, self.archived)
        return replace(later, per_s=per_s, moved_s=self.moved_s if is_still else at_s)

    @property
    def folded(self) -> int:
        """Events folded, durably."""
        return sum(partition.folded or 0 for partition in self.source.partitions)

    @property
    def archived(self) -> int:
        """Events that are durable in the archive."""
        return sum(partition.archived or 0 for partition in self.source.partitions)

    @property
    def is_done(self) -> bool:
        """Whether every event has reached both layers."""
        return min(self.sent, self.folded, self.archived) >= self.total

    @property
    def slowest(self) -> dict[int, int]:
        """Per partition how far the slower of worker and archiver is, as an offset."""
        return {p.partition: min(p.folded or 0, p.archived or 0) for p in self.source.partitions}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a demo has found.

    Attributes:
        fresh: Answers before the replay, from the speed layer alone.
        replayed: The same questions after it.
        steps_s: How long each step took, seconds.
        replay: The report of the replay, as `fastdata replay --json` prints it.
        peak_mib: The most memory that each process had.
        left_behind: Topics that stay on a Kafka that was given.
    """

    folder: Path
    fresh: tuple[Answer, ...]
    replayed: tuple[Answer, ...]
    source: SourceStatus
    steps_s: dict[str, float]
    replay: dict[str, list[dict[str, int]]]
    peak_mib: dict[str, int]
    left_behind: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """Events in the log."""
        return sum(partition.log_end or 0 for partition in self.source.partitions)

    @property
    def sketch(self) -> SketchError:
        """How far the fresh distinct counts were off."""
        return sketch_error(self.fresh)

    @property
    def drift(self) -> dict[str, int]:
        """Events that can make fresh and exact numbers differ, by cause."""
        counts = self.source.unfolded
        repeats = sum(metric["duplicates"] for metric in self.replay["metrics"])
        covered = sum(partition.covered or 0 for partition in self.source.partitions)
        return {
            "late": counts.get("late", 0) + counts.get("future", 0),
            "repeats": max(counts.get("repeat", 0), repeats),
            "dead_letters": sum(n for why, n in counts.items() if why.startswith("dead:")),
            "not_yet_covered": self.events - covered,
        }

    @property
    def events_per_s(self) -> int:
        """Events a second, sent, folded and archived."""
        return round(self.events / self.steps_s["send and fold"])

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        months = [
            {
                "month": published.month or "2013",
                "fresh": fresh.as_dict(),
                "replayed": replayed.as_dict(),
                "published": published_numbers(published),
            }
            for published, fresh, replayed in zip(PUBLISHED, self.fresh, self.replayed, strict=True)
        ]
        return {
            "events": self.events,
            "months": months,
            "drift": self.drift | {"sketch": asdict(self.sketch)},
            "steps_s": {step: round(took, 2) for step, took in self.steps_s.items()},
            "events_per_s": self.events_per_s,
            "replay": self.replay,
            "peak_mib": self.peak_mib,
            "folder": str(self.folder),
            "left_behind": list(self.left_behind),
        }
