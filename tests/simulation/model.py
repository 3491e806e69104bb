# mypy: ignore-errors
# ruff: noqa: B905, C408, C420, N818, PLC0206
"""An executable model of the two layers: who holds which event, and what a reader may see.

The log, the speed layer, the archive, batch and the store are a few dictionaries. States are plain
sets of (partition, offset), so "counted twice" and "lost" are visible at once. Random schedules of
produce, fold, flush (step by step), crash, rebalance with a zombie, skip-ahead, loss of the local
state, of the durable state and of the store, archive, batch, interrupted batch, clean-up and query
are run against these promises:

* at most once: no answer holds an event twice;
* no flicker: an event that a reader has seen stays in every later answer;
* nothing lost: when all has drained, answers hold every event that is not in a recorded gap or left
  out, and after batch has read everything they hold every event, those of open segments, too;
* exact is true: a window that says so holds every event of it that either layer has read;
* no gap without a cause: only a skip, or a store that was lost, makes one.

Some events are left out by the speed layer (late, in the future): it knows how many, not which.
What only batch has read of an open segment (left out, or in a gap) may go out of sight again until
the next run, when the speed layer folds another event of the same window into that segment; the
window is not exact then.

Who changes the rules does it here first.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field

PARTITIONS, SEGMENT, WINDOWS, SPAN = 2, 5, 6, 2  # SPAN: windows in the unit that batch replaces


def segment(offset):
    return offset // SEGMENT


def span(window):
    return window // SPAN


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


class Violation(AssertionError):
    """A promise is broken."""


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
        # offset -> (window, whether the speed layer leaves it out)
        self.log = {p: [] for p in range(PARTITIONS)}
        # durable
        self.table = {}  # the changelog-backed state: key -> Partial
        self.marker = {}  # in the same changelog: partition -> next offset it has folded
        self.committed = {p: 0 for p in range(PARTITIONS)}
        self.archived = {p: 0 for p in range(PARTITIONS)}
        self.gaps = []  # (partition, start, end)
        self.skips = set()
        self.has_lost_store = False
        # serving store
        self.partials = {}  # (window, partition, segment) -> Partial
        self.progress = {p: 0 for p in range(PARTITIONS)}
        self.versions = defaultdict(list)  # span -> the two newest versions; the last is current
        self.seen = set()
        self.seen_folded = set()  # of these, what the speed layer has ever shown
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
            position[p] = start
        self.worker = w = Worker(position)
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
            window, is_left_out = self.log[p][offset]
            key = (("unfolded", span(window)) if is_left_out else window, p, segment(offset))
            state = w.cache.get(key) or self.table.get(key) or Partial()
            if offset > state.stamp:
                state = Partial(state.events | {(p, offset)}, offset)
                w.dirty.add(key)
            elif "re-emit" not in self.without:
                w.dirty.add(key)
            w.cache[key] = state
            w.position[p] = offset + 1

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
        self.start_worker()

    def lose_store(self):
        """All that readers have is gone, recorded gaps too; every owner is stopped first."""
        self.has_lost_store = True
        self.partials, self.gaps, self.zombie = {}, [], None
        self.seen, self.seen_folded = set(), set()
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
            for p, log in self.log.items():
                for offset, (window, _) in enumerate(log[: self.archived[p]]):
                    if span(window) != s:
                        continue
                    if segment(offset) < coverage[p]:
                        totals[window].add((p, offset))
                    else:
                        tips[window, p].add((p, offset))
            versions.append(Version(coverage, until, totals, tips))
            del versions[:-2]

    def undo(self):
        versions = self.rng.choice(list(self.versions.values()) or [[]])
        if len(versions) == 2:
            versions.pop()
            # What only that version held is out of sight for a while.
            self.seen = {e for window in range(WINDOWS) for e in self.answer(window)[0]}

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
    def answer(self, window):
        """The events of a window, and whether it is exact. What partials show is noted as well."""
        version = (self.versions[span(window)] or [None])[-1]
        coverage = version.coverage if version else {}
        until = version.until if version else {}
        events = list(version.totals.get(window, ())) if version else []
        exact = version is not None
        for p in self.log:
            rows = [(seg, v) for (w, q, seg), v in self.partials.items() if (w, q) == (window, p)]
            # Without it, the usual Lambda join: batch owns a span once it has run.
            if "join by segment" in self.without:
                rows = [] if version else rows
            else:
                rows = [(seg, v) for seg, v in rows if seg >= coverage.get(p, 0)]
            # The larger stamp wins: batch vouches up to `until`, a partial up to its own stamp.
            newer = [(seg, v) for seg, v in rows if v.stamp >= until.get(p, 0)]
            is_overtaken = any(seg == coverage.get(p, 0) for seg, _ in newer)
            if version and (not is_overtaken or "tip or partial" in self.without):
                events += version.tips.get((window, p), ())
            for _, v in rows if "tip wins by stamp" in self.without else newer:
                events += v.events
                self.seen_folded |= v.events
            exact = exact and not newer
            left_out = [
                v
                for (w, q, _), v in self.partials.items()
                if (w, q) == (("unfolded", span(window)), p)
            ]
            exact = exact and all(v.stamp < until.get(p, 0) for v in left_out)
            if "gaps in exact" not in self.without:
                exact = exact and all(end <= until.get(q, 0) for q, _, end in self.gaps if q == p)
        return events, exact

    def query(self):
        now = set()
        if not self.has_lost_store and set(self.gaps) - self.skips:
            raise Violation(f"a gap that nothing has made: {set(self.gaps) - self.skips}")
        for window in range(WINDOWS):
            events, exact = self.answer(window)
            if len(events) != len(set(events)):
                raise Violation(f"counted twice in window {window}")
            now |= set(events)
            if exact:
                until = self.versions[span(window)][-1].until
                read = {
                    (p, o)
                    for p, log in self.log.items()
                    for o, (w, _) in enumerate(log)
                    if w == window and o < max(until[p], self.progress[p])
                }
                if set(events) != read:
                    raise Violation(
                        f"window {window} says exact and is not: {sorted(read ^ set(events))[:4]}"
                    )
        if gone := {e for e in self.seen - now if not self.may_hide(e)}:
            raise Violation(f"flicker: {sorted(gone)[:4]} seen before, gone now")
        self.seen = now

    def may_hide(self, event):
        """Whether only batch has read it, of a segment that is open to the current version."""
        p, offset = event
        window, is_left_out = self.log[p][offset]
        versions = self.versions[span(window)]
        is_open = not versions or segment(offset) >= versions[-1].coverage[p]
        is_in_gap = any(q == p and start <= offset < end for q, start, end in self.gaps)
        return is_open and (is_left_out or is_in_gap) and event not in self.seen_folded

    def settle(self):
        """Drain everything and compare with the log."""
        self.start_worker()
        for _ in range(400):
            self.fold()
        self.flush()
        self.query()
        all_events = {(p, o) for p in self.log for o in range(len(self.log[p]))}
        in_gaps = {(p, o) for p, start, end in self.gaps for o in range(start, end)}
        left_out = {(p, o) for p, o in all_events if self.log[p][o][1]}
        if lost := all_events - self.seen - in_gaps - left_out:
            raise Violation(f"lost: {sorted(lost)[:4]}")
        self.archived = {p: len(log) for p, log in self.log.items()}
        self.batch()
        self.query()
        if lost := all_events - self.seen:
            raise Violation(f"not healed: {sorted(lost)[:4]}")
        if doubtful := [w for w in range(WINDOWS) if not self.answer(w)[1]]:
            raise Violation(f"all is counted, and these windows are not exact: {doubtful}")

    def produce(self):
        p = self.rng.randrange(PARTITIONS)
        newest = min(WINDOWS - 1, sum(map(len, self.log.values())) // 12)
        late = self.rng.randrange(newest + 1) if self.rng.random() < 0.3 else newest
        if len(self.log[p]) < 40:
            self.log[p].append((late, self.rng.random() < 0.1))


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
    "gap to the largest stamp",
]  # fmt: skip
