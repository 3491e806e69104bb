"""What becomes of a record: decoded, judged, and folded into the cells of all metrics."""

from collections import Counter
from collections.abc import Callable, Sequence

from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import BadEventError
from fastdata.events.decoder import NO_TIMESTAMP, Decoder, Event
from fastdata.speed.folding import compile_fold, emit
from fastdata.speed.outlet import Outlet
from fastdata.speed.state import DeadLetter, Partition, Record
from fastdata.speed.unfolded import FUTURE, LATE, REPEAT, UnfoldedCells
from fastdata.store import rules

__all__ = ["Intake"]


class Intake:
    """Takes in the records of one source. Not for concurrent use.

    Args:
        metrics: All over the source, in the order of the indexes in the keys of cells; that of
            what is not folded comes after them.
        clock: Now, ms UTC.
        outlet: Takes the events that a source with a destination sends on.

    Attributes:
        decoder: May be another one for a while.
        left_out: Events counted apart since the start, by reason; dead letters as `dead:...`.
    """

    def __init__(
        self,
        source: Source,
        metrics: Sequence[Metric],
        decoder: Decoder,
        clock: Callable[[], int],
        outlet: Outlet | None = None,
    ) -> None:
        self.decoder = decoder
        self.left_out = Counter[str]()
        self._source = source
        self._folding = [(i, m, compile_fold(m)) for i, m in enumerate(metrics)]
        self._unfolded = UnfoldedCells(unfolded_of(source), len(metrics), self.left_out)
        self._clock = clock
        self._outlet = outlet
        self._lateness_ms, self._skew_ms = source.lateness_ms, source.skew_ms
        self._segment_size = source.segment_size

    def take(self, owned: Partition, record: Record) -> None:
        """Fold one record, unless that was done; raises what `SpeedLayer.fold` raises."""
        offset = record.offset
        if offset < owned.position:
            return
        timestamp = NO_TIMESTAMP if record.timestamp is None else record.timestamp
        try:
            event = self.decoder.decode(record.value, timestamp)
        except BadEventError as error:
            self._reject(owned, record, error)
        else:
            if event.fields is not None:  # None when the map function dropped it
                self._take_event(owned, record, event, event.fields)
        owned.position = offset + 1
        if timestamp != NO_TIMESTAMP:
            owned.written = timestamp

    def take_run(self, owned: Partition, records: Sequence[Record], start: int, stop: int) -> int:
        """Fold `records[start:stop]` up to where one is missing before; the index to go on from."""
        is_short = self._outlet is None and self.decoder.has_ordinary
        index, stop = start, min(stop, len(records))
        while index < stop:
            if is_short:
                index = self.take_ordinary(owned, records, index, stop)
            if index < stop:
                if records[index].offset > owned.position:
                    break
                self.take(owned, records[index])
                index += 1
        return index

    def take_ordinary(
        self, owned: Partition, records: Sequence[Record], start: int, stop: int
    ) -> int:
        """Fold records as `take` does, in one loop, up to one that is out of the ordinary.

        Nearly all are ordinary: the next in the log, readable, timely, no repeat, and new.

        Returns:
            The index to go on from, with `take`: `stop` when all of `records[start:stop]` were
            ordinary.
        """
        if records[start].offset < owned.vouched:
            return start
        decode, cells, size = self.decoder.decode_ordinary, owned.cells, self._segment_size
        is_repeat, latest = owned.repeats.is_repeat, self._clock() + self._skew_ms
        index = start
        while index < stop:
            record = records[index]
            offset, watermark = record.offset, owned.watermark
            if offset != owned.position or (event := decode(record.value)) is None:
                break
            time, identity, fields = event
            if time < watermark - self._lateness_ms or (time > watermark and time > latest):
                break
            if identity is not None and is_repeat(identity, offset, time - time % HOUR_MS):
                break  # it will be one when it is asked again
            try:
                for number, _, fold in self._folding:
                    fold(cells, number, offset // size, offset, fields, time)
            except BadEventError:
                self._fold_or_reject(owned, record, time, fields)
            if time > watermark:
                owned.watermark = time
            owned.position = offset + 1
            index += 1
        if index > start and (written := records[index - 1].timestamp) not in {None, NO_TIMESTAMP}:
            owned.written = written
        return index

    def _take_event(
        self, owned: Partition, record: Record, event: Event, fields: dict[str, object]
    ) -> None:
        """Fold an event, or leave it out, and have the next flush send it on.

        All that a replay counts is sent on: also what is late, or in the future, for the clock.
        """
        offset, time, watermark = record.offset, event.time, owned.watermark
        is_vouched, reason = offset < owned.vouched, None
        is_known_timely = watermark - self._lateness_ms <= time <= watermark
        if is_known_timely and event.id is None and not is_vouched:
            self._fold_or_reject(owned, record, time, fields)
        else:
            reason = self._reason_to_leave_out(owned, offset, event, is_vouched)
            self._fold_or_reject(owned, record, time, fields, is_vouched, reason is not None)
            self._remember(owned, offset, time, reason, is_vouched)
        if self._outlet is not None and reason != REPEAT:
            try:
                outgoing = self._outlet.prepare(record, fields)
            except BadEventError as error:
                self._reject(owned, record, error)
            else:
                owned.send_on(outgoing)

    def _fold_or_reject(
        self,
        owned: Partition,
        record: Record,
        time: int,
        fields: dict[str, object],
        is_vouched: bool = False,
        is_left_out: bool = False,
    ) -> None:
        """Fold an event into the cells of all metrics; a cell that has it already stays so.

        It is a dead letter of the metrics alone that have no place for it.
        """
        misfit: BadEventError | None = None
        offset, cells = record.offset, owned.cells
        segment = offset // self._segment_size
        for index, metric, fold in self._folding:
            try:
                if is_left_out or (is_vouched and index not in owned.new_metrics):
                    emit(metric, cells, index, segment, offset, fields, time)
                else:
                    fold(cells, index, segment, offset, fields, time)
            except BadEventError as error:
                misfit = error
        if misfit is not None:
            self._reject(owned, record, misfit)

    def _remember(
        self, owned: Partition, offset: int, time: int, reason: str | None, is_vouched: bool
    ) -> None:
        """Count an event that was left out, or let the watermark know of one that was not."""
        hour = floor_to(time, HOUR_MS)
        if is_vouched:
            # It was counted when it was judged; under which reason is not known any more.
            self._unfolded.emit(owned, offset, hour)
        elif reason:
            self._unfolded.count(owned, offset, hour, reason)
        else:
            owned.watermark = max(owned.watermark, time)

    def _reason_to_leave_out(
        self, owned: Partition, offset: int, event: Event, is_vouched: bool
    ) -> str | None:
        # What is vouched for was judged when the watermark was lower; now it might seem late.
        if not is_vouched:
            if event.time < owned.watermark - self._lateness_ms:
                return LATE
            # What the watermark has reached is not in the future; for the rest the clock is asked.
            if event.time > owned.watermark and event.time > self._clock() + self._skew_ms:
                return FUTURE
        # Whether its id was seen depends on the log alone. What is vouched for is asked, too: new
        # metrics have not folded it, and its id may be lost, as an old owner's row of ids goes with
        # the shorter one of that key, which the owner after it has deleted.
        hour = floor_to(event.time, HOUR_MS)
        return REPEAT if owned.repeats.is_repeat(event.id, offset, hour) else None

    def _reject(self, owned: Partition, record: Record, error: BadEventError) -> None:
        why = error.stage, error.reason, error.detail
        owned.letters.append(DeadLetter(self._source.topic, owned.number, record, *why))
        window, reason = rules.DEAD_LETTERS_WINDOW, f"dead:{error.reason}"
        self._unfolded.count(owned, record.offset, window, reason)
