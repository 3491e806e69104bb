# mypy: ignore-errors
# ruff: noqa: B905, C408, C420, PLC0206
"""An executable model of the two layers: who holds which event, and what a reader may see.

The log, the speed layer, the archive, batch and the store are a few dictionaries. States are plain
sets of (partition, offset), so "counted twice" and "lost" are visible at once. Random schedules of
produce, fold, flush (step by step), crash, rebalance with a zombie, skip-ahead, loss of the local
state, of the durable state and of the store, archive, batch, interrupted batch, clean-up and query
are run against these promises:

* at most once: no answer holds an offset twice, and an event that was written again only as often
  as `model_reader` says;
* no flicker: an event that a reader has seen stays in every later answer;
* nothing lost: when all has drained, answers hold every event that is not in a recorded gap or left
  out, and after batch has read everything they hold every event, those of open segments, too;
* exact is true: a window that says so holds every event of it that either layer has read;
* no gap without a cause: only a skip, or a store that was lost, makes one.

Some events are left out by the speed layer (late, in the future): it knows how many, not which.
What only batch has read of an open segment (left out, or in a gap) may go out of sight again until
the next run, when the speed layer folds another event of the same window into that segment; the
window is not exact then.

Some events are written again, to either partition. Batch counts one copy of each, of closed
segments first. The speed layer leaves a copy out when it remembers one of the same partition.

Who changes the rules does it here first.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.model_reader import SEGMENT, WINDOWS, Reader, Violation, segment, span

PARTITIONS = 2


class Entry(NamedTuple):
    """What lies at an offset: an event, or a copy of one, which has the same number."""

    number: int
    window: int
    is_left_out: bool  # by the speed layer


@dataclass
class Partial:
    events: frozenset = frozenset()
    stamp: int = -1


@dataclass
class Worker:
    """One owner of all partitions; memory only. `position` is the next offset to fold."""

    position: dict
    cache: dict = field(default_factory=dict)  # (window, partition, segment) -> Partial
    dirty: set = field(default_factory=set)
    known: dict = field(default_factory=dict)  # partition -> the offsets whose ids it remembers


@dataclass
class Version:
    """What batch says of one span: all before segment `coverage`, and of that before `until`."""

    coverage: dict
    until: dict
    totals: dict  # window -> events of closed segments
    tips: dict  # (window, partition) -> events of the open segment


class System:
    def __init__(self, seed, without=()):
        self.rng, self.without = random.Random(seed), set(without)
        self.copies = random.Random(f"copies of {seed}")  # beside the schedule
        self.share = (0, 0.15, 0.4)[seed % 3]
        self.log = {p: [] for p in range(PARTITIONS)}  # of entries
        self.events = 0
        # durable
        self.table = {}  # the changelog-backed state: key -> Partial
        self.known = {p: set() for p in range(PARTITIONS)}  # in the same changelog: ids
        self.marker = {}  # and there, partition -> next offset it has folded
        self.begun = {p: {0} for p in range(PARTITIONS)}  # where owners began without ids
        self.committed = {p: 0 for p in range(PARTITIONS)}
        self.archived = {p: 0 for p in range(PARTITIONS)}
        self.gaps = []  # (partition, start, end)
        self.skips = set()
        self.has_lost_store = False
        # serving store
        self.partials = {}  # (window, partition, segment) -> Partial
        self.progress = {p: 0 for p in range(PARTITIONS)}
        self.versions = defaultdict(list)  # span -> the two newest versions; the last is current
        self.reader = Reader(self)
        self.zombie = None
        self.worker = None
        self.start_worker()

    # --- speed layer
    def start_worker(self):
        position = {}
        for p in range(PARTITIONS):
            start = self.committed[p]
            marker = self.marker.get(p)
            if "marker" not in self.without and (marker is None or marker < start):
                # The state is older than the committed offset, or gone.
                start = segment(start if marker is None else marker) * SEGMENT
                self.begun[p].add(start)
            position[p] = start
        self.worker = w = Worker(position)
        w.known = {p: set(known) for p, known in self.known.items()}
        for p in position:
            # Nothing is committed before the store has it: one that says less has lost something,
            # or is another one.
            if "know the store" not in self.without and self.progress[p] < self.committed[p]:
                # Write all again. Clean-up may have dropped any part of it, of
                # states that have grown since, too: up to the largest stamp all is a gap until
                # batch has been there.
                own = {key: state for key, state in self.table.items() if key[1] == p}
                reach = max(
                    [
                        position[p],
                        self.marker.get(p, 0),
                        *(state.stamp + 1 for state in own.values()),
                    ]
                )
                self.gaps.append(
                    (p, 0, position[p] if "gap to the largest stamp" in self.without else reach)
                )
                w.cache |= own
                w.dirty |= own.keys()

    def fold(self):
        w, p = self.worker, self.rng.randrange(PARTITIONS)
        for _ in range(self.rng.randint(1, 4)):
            offset = w.position[p]
            if offset >= len(self.log[p]):
                return
            entry = self.log[p][offset]
            w.position[p] = offset + 1
            if not entry.is_left_out and self.is_repeat(w, p, offset):
                continue
            kind = ("unfolded", span(entry.window)) if entry.is_left_out else entry.window
            key = (kind, p, segment(offset))
            state = w.cache.get(key) or self.table.get(key) or Partial()
            if offset > state.stamp:
                state = Partial(state.events | {(p, offset)}, offset)
                w.dirty.add(key)
            elif "re-emit" not in self.without:
                w.dirty.add(key)
            w.cache[key] = state

    def is_repeat(self, worker, p, offset):
        """Whether the owner remembers a copy before in its partition; it remembers this one else.

        What it leaves out it does not remember.
        """
        known, log = worker.known[p], self.log[p]
        if "repeats of a partition" not in self.without and any(
            other < offset and log[other].number == log[offset].number for other in known
        ):
            return True
        known.add(offset)
        return False

    def flush(self, worker=None, crash_at=None):
        """changelog -> store -> commit; `crash_at` cuts it after that many single writes."""
        w = worker or self.worker
        position = dict(w.position)
        rows = [(k, w.cache[k]) for k in sorted(w.dirty, key=str)]
        fenced = (
            worker is not None
        )  # a zombie: its commit is refused by the broker, its writes are not
        steps = [("table", k, v) for k, v in rows]
        steps += [("marker", p, position[p]) for p in position]
        stores = [("store", k, v) for k, v in rows] + [
            ("progress", p, position[p]) for p in position
        ]
        commits = [("commit", p, position[p]) for p in position]
        steps += commits + stores if "commit last" in self.without else stores + commits
        for i, (kind, k, v) in enumerate(steps):
            if crash_at is not None and i >= crash_at:
                return
            if kind == "table":
                if (
                    "monotone state" in self.without
                    or v.stamp >= self.table.get(k, Partial()).stamp
                ):
                    self.table[k] = v
            elif kind == "marker":
                self.known[k] |= w.known[k]  # just before: it vouches for the ids, too
                self.marker[k] = max(v, self.marker.get(k, 0))
            elif kind == "store":
                self.upsert(k, v)
            elif kind == "progress":
                self.progress[k] = max(v, self.progress[k])
            elif not fenced:
                self.committed[k] = v
        w.dirty.clear()

    def upsert(self, key, partial):
        if (
            "larger stamp" in self.without
            or partial.stamp > self.partials.get(key, Partial()).stamp
        ):
            self.partials[key] = partial

    def crash(self):
        self.flush(crash_at=self.rng.randint(0, 3 * len(self.worker.dirty) + 2 * PARTITIONS))
        self.start_worker()

    def rebalance_with_zombie(self):
        old = self.worker
        self.start_worker()
        self.zombie = old

    def zombie_wakes(self):
        if self.zombie:
            self.flush(self.zombie, crash_at=self.rng.randint(0, 2 * len(self.zombie.dirty) + 1))
            self.zombie = None

    def lose_state(self):
        """The changelog and the local state are gone, the committed offsets are not.

        A paused owner could vouch, with its marker, for a state that is gone: it is stopped first.
        """
        self.table, self.marker, self.zombie = {}, {}, None
        self.known = {p: set() for p in range(PARTITIONS)}
        self.start_worker()

    def lose_store(self):
        """All that readers have is gone, recorded gaps too; every owner is stopped first."""
        self.has_lost_store = True
        self.partials, self.gaps, self.zombie = {}, [], None
        self.reader = Reader(self)
        self.progress = dict.fromkeys(self.progress, 0)
        self.versions.clear()
        self.start_worker()

    def skip_ahead(self):
        self.flush()
        p = self.rng.randrange(PARTITIONS)
        here, end = self.worker.position[p], len(self.log[p])
        target = segment(end) * SEGMENT if "skip to an edge" not in self.without else end - 1
        if target > here:
            if "record the gap" not in self.without:
                self.gaps.append((p, here, target))
                self.skips.add((p, here, target))
            self.worker.position[p] = target
            self.begun[p].add(target)
            self.marker[p] = target
            self.progress[p] = max(target, self.progress[p])
            self.committed[p] = target

    # --- archive and batch
    def archive(self):
        p = self.rng.randrange(PARTITIONS)
        self.archived[p] = min(len(self.log[p]), self.archived[p] + self.rng.randint(1, 8))

    def batch(self, spans=None, interrupted=False):
        if "closed segments only" in self.without:
            coverage = {p: segment(self.archived[p] + SEGMENT - 1) for p in self.archived}
        else:
            coverage = {p: segment(self.archived[p]) for p in self.archived}
        until = dict(self.archived)
        everything = range(span(WINDOWS - 1) + 1)
        for s in spans or everything:
            if interrupted and self.rng.random() < 0.5:
                return
            versions = self.versions[s]
            if versions and any(until[p] < versions[-1].until[p] for p in until):
                continue  # never behind what readers have
            totals, tips = defaultdict(set), defaultdict(set)
            counted = set()
            for is_open, p, offset in self.in_order(coverage, until):
                number, window, _ = self.log[p][offset]
                id = (number, p) if "repeats over partitions" in self.without else number
                if span(window) != s or id in counted:
                    continue
                counted.add(id)
                if is_open:
                    tips[window, p].add((p, offset))
                else:
                    totals[window].add((p, offset))
            versions.append(Version(coverage, until, totals, tips))
            del versions[:-2]

    def in_order(self, coverage, until):
        """What a version has read, in the order in which the first copy counts: closed first."""
        return sorted(
            (segment(offset) >= coverage[p], p, offset)
            for p in self.log
            for offset in range(until[p])
        )

    def undo(self):
        versions = self.rng.choice(list(self.versions.values()) or [[]])
        if len(versions) == 2:
            versions.pop()
            # What only that version held is out of sight for a while.
            self.reader.seen = self.reader.look()

    def clean_up(self):
        for where in (self.partials, self.table, self.worker.cache):
            for key in list(where):
                window, p, seg = key
                versions = self.versions[window[1] if isinstance(window, tuple) else span(window)]
                if "drop by own span" in self.without:
                    versions = max(self.versions.values(), key=len)
                # One version behind, so that the newest can be undone.
                behind = versions[-1:] if "clean one behind" in self.without else versions[-2:-1]
                covered = behind and behind[0].coverage[p] > seg
                if covered and self.rng.random() < 0.7:
                    del where[key]
                    if where is self.worker.cache:
                        self.worker.dirty.discard(key)

    # --- reader
    def query(self):
        if not self.has_lost_store and set(self.gaps) - self.skips:
            raise Violation(f"a gap that nothing has made: {set(self.gaps) - self.skips}")
        self.reader.query()

    def settle(self):
        """Drain everything and compare with the log."""
        self.start_worker()
        for _ in range(400):
            self.fold()
        self.flush()
        self.query()
        self.reader.check_drained()
        self.archived = {p: len(log) for p, log in self.log.items()}
        self.batch()
        self.query()
        self.reader.check_healed()

    def produce(self):
        p = self.rng.randrange(PARTITIONS)
        newest = min(WINDOWS - 1, sum(map(len, self.log.values())) // 12)
        late = self.rng.randrange(newest + 1) if self.rng.random() < 0.3 else newest
        if len(self.log[p]) < 40:
            is_left_out, number = self.rng.random() < 0.1, self.events
            entries = [entry for log in self.log.values() for entry in log]
            if entries and self.copies.random() < self.share:
                near = entries if self.copies.random() < 0.5 else self.log[p][-6:] or entries
                number, late, _ = self.copies.choice(near)
            else:
                self.events += 1
            self.log[p].append(Entry(number, late, is_left_out))


STEPS = dict(
    produce=30, fold=20, flush=6, crash=3, rebalance_with_zombie=1, zombie_wakes=2, lose_state=0.5,
    lose_store=0.3, skip_ahead=0.5, archive=8, batch=2, undo=0.5, clean_up=3, query=10,
)  # fmt: skip


def run(seed, without=(), steps=250):
    system = System(seed, without)
    names, weights = zip(*STEPS.items())
    for name in system.rng.choices(names, weights, k=steps):
        if name == "batch":
            some = [s for s in range(span(WINDOWS - 1) + 1) if system.rng.random() < 0.6]
            system.batch(some or None, interrupted=system.rng.random() < 0.3)
        else:
            getattr(system, name)()
    system.settle()


RULES = [
    "join by segment", "closed segments only", "larger stamp", "re-emit", "commit last",
    "monotone state", "marker", "skip to an edge", "record the gap", "drop by own span",
    "clean one behind", "tip or partial", "tip wins by stamp", "gaps in exact", "know the store",
    "gap to the largest stamp", "repeats of a partition", "repeats over partitions",
]  # fmt: skip
