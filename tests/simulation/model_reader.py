# mypy: ignore-errors
# ruff: noqa: N818
"""The reader of the model: what an answer is made of, and what it promises.

Of an event that was written again an answer has several copies only in windows that are not exact,
and then at most: the one that batch counts, and of each partition those in segments that batch has
not closed of which no owner could know that they are copies. The next run of batch takes them away.

An event stays in sight while any copy of it is. It may hide until the next run where batch counts a
copy of an open segment that the speed layer left out or skipped: also when another copy was folded
and seen, if batch has read that one, too, as it counts one of both.
"""

from collections import Counter

SEGMENT, WINDOWS, SPAN = 5, 6, 2  # SPAN: windows in the unit that batch replaces


def segment(offset):
    return offset // SEGMENT


def span(window):
    return window // SPAN


class Violation(AssertionError):
    """A promise is broken."""


class Reader:
    def __init__(self, system):
        self.system = system
        self.seen = set()  # numbers of events
        self.seen_folded = set()  # places of copies that the speed layer has ever shown

    def version(self, window):
        return (self.system.versions[span(window)] or [None])[-1]

    def answer(self, window):
        """What batch and what partials show of a window, and whether it is exact."""
        system, without = self.system, self.system.without
        version = self.version(window)
        coverage = version.coverage if version else {}
        until = version.until if version else {}
        counted, folded = list(version.totals.get(window, ())) if version else [], []
        exact = version is not None
        stored = system.partials.items()
        for p in system.log:
            rows = [(seg, v) for (w, q, seg), v in stored if (w, q) == (window, p)]
            # Without it, the usual Lambda join: batch owns a span once it has run.
            if "join by segment" in without:
                rows = [] if version else rows
            else:
                rows = [(seg, v) for seg, v in rows if seg >= coverage.get(p, 0)]
            # The larger stamp wins: batch vouches up to `until`, a partial up to its own stamp.
            newer = [(seg, v) for seg, v in rows if v.stamp >= until.get(p, 0)]
            is_overtaken = any(seg == coverage.get(p, 0) for seg, _ in newer)
            if version and (not is_overtaken or "tip or partial" in without):
                counted += version.tips.get((window, p), ())
            for _, v in rows if "tip wins by stamp" in without else newer:
                folded += v.events
            exact = exact and not newer
            unfolded = ("unfolded", span(window)), p
            left_out = [v for (w, q, _), v in stored if (w, q) == unfolded]
            exact = exact and all(v.stamp < until.get(p, 0) for v in left_out)
            if "gaps in exact" not in without:
                exact = exact and all(end <= until.get(q, 0) for q, _, end in system.gaps if q == p)
        return counted, folded, exact

    def look(self):
        """All events that are in sight; checks what each window claims."""
        now = set()
        for window in range(WINDOWS):
            counted, folded, exact = self.answer(window)
            self.seen_folded |= set(folded)
            if len(places := counted + folded) != len(set(places)):
                raise Violation(f"an offset counts twice in window {window}")
            if twice := [n for n, times in self.numbers(counted).items() if times > 1]:
                raise Violation(f"batch counts copies in window {window}: {twice}")
            if known := [place for place in folded if not self.may_count(place)]:
                raise Violation(f"known copies are folded in window {window}: {known}")
            if exact and (wrong := self.numbers(places) - self.read(window)):
                raise Violation(f"window {window} says exact and has too many: {wrong}")
            if exact and (wrong := self.read(window) - self.numbers(places)):
                raise Violation(f"window {window} says exact and has not: {wrong}")
            now |= self.numbers(places).keys()
        return now

    def query(self):
        now = self.look()
        if gone := {n for n in self.seen - now if not self.may_hide(n)}:
            raise Violation(f"flicker: {self.told(gone)} seen before, gone now")
        self.seen = now

    def check_drained(self):
        unseen = self.places().keys() - self.seen
        if lost := {n for n in unseen if not self.is_unfoldable(n) and not self.may_hide(n)}:
            raise Violation(f"lost: {self.told(lost)}")

    def check_healed(self):
        if lost := self.places().keys() - self.seen:
            raise Violation(f"not healed: {self.told(lost)}")
        if doubtful := [w for w in range(WINDOWS) if not self.answer(w)[2]]:
            raise Violation(f"all is counted, and these windows are not exact: {doubtful}")

    # --- events and their copies
    def numbers(self, places):
        return Counter(self.system.log[p][offset].number for p, offset in places)

    def places(self):
        """Where each event and its copies lie, by partition and offset."""
        places = {}
        for p, log in self.system.log.items():
            for offset, entry in enumerate(log):
                places.setdefault(entry.number, []).append((p, offset))
        return places

    def told(self, numbers):
        return {number: self.places()[number] for number in sorted(numbers)[:4]}

    def read(self, window):
        """The events of a window of which either layer has read a copy, once each."""
        version, log = self.version(window), self.system.log
        ends = {p: max(version.until[p], self.system.progress[p]) for p in log}
        return Counter({e.number for p in log for e in log[p][: ends[p]] if e.window == window})

    def _counts(self, place):
        """Of each owner that began without ids before it: whether it takes it for the first."""
        (p, offset), log = place, self.system.log[place[0]]
        before = [
            other
            for other in range(offset)
            if log[other].number == log[offset].number and not log[other].is_left_out
        ]
        starts = [begun for begun in self.system.begun[p] if begun <= offset]
        return [not any(begun <= other for other in before) for begun in starts]

    def may_count(self, place):
        return any(self._counts(place))

    def is_in_gap(self, place):
        return any(q == place[0] and start <= place[1] < end for q, start, end in self.system.gaps)

    def is_unfolded(self, place):
        return self.system.log[place[0]][place[1]].is_left_out or self.is_in_gap(place)

    def is_unfoldable(self, number):
        """Whether each copy is left out, in a gap, or known for one of a copy in a gap."""
        places = self.places()[number]
        return all(
            self.is_unfolded((p, o))
            or any(q == p and first < o and self.is_in_gap((q, first)) for q, first in places)
            for p, o in places
        )

    def may_hide(self, number):
        """Whether batch counts a copy that the speed layer does not show, and all that it does."""
        places = self.places()[number]
        version = self.version(self.system.log[places[0][0]][places[0][1]].window)
        if version is None:
            return False
        order = self.system.in_order(version.coverage, version.until)
        is_open, *counted = next((c for c in order if c[1:] in places), (False, None))
        if not is_open or not self.is_unfolded(counted) or tuple(counted) in self.seen_folded:
            return False
        return not any(
            version.until[p] <= o < self.system.progress[p]
            and not self.is_unfolded((p, o))
            and all(self._counts((p, o)))
            for p, o in places
        )
