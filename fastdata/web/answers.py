"""A query from its words to the bytes of its answer."""

import hashlib
import io
import json
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyarrow import compute as pc

from fastdata.answer.arrow import describe
from fastdata.answer.batches import write_csv, write_json
from fastdata.answer.merge import Row
from fastdata.answer.query import Question
from fastdata.coordinates.instants import parse_instant
from fastdata.declare.derived import AnyMetric
from fastdata.errors import QueryError
from fastdata.settings import Settings
from fastdata.store.protocol import ServingStore
from fastdata.web.looks import Looks
from fastdata.web.readers import Deadline, Readers
from fastdata.web.shared import Shared
from fastdata.web.words import Form, QuestionWords

__all__ = ["Answers", "RowWatch"]

_KEPT = 64
_KEPT_BYTES = 1 << 20
_ROWS_A_LOOK = 256
_INSTANT = pa.timestamp("ms", tz="UTC")


class Answers:
    """Answers queries; who asks the same of the same store at the same time gets the same answer.

    Args:
        readers: In which answers are made.
        looks: What tells whether an answer has changed.
    """

    def __init__(self, readers: Readers, looks: Looks, settings: Settings) -> None:
        self.readers = readers
        self._looks = looks
        self._settings = settings
        self._bodies = Shared[bytes](_KEPT, lambda body: len(body) <= _KEPT_BYTES)

    async def tag(
        self, metric: AnyMetric, words: QuestionWords, form: Form
    ) -> tuple[Question, str, str]:
        """The question, the tag of its answer, and what tells the answer from all others.

        The tag stays the same while only `fresh_until` and `read_until` of the rows move on.

        Raises:
            QueryError: A word is wrong.
            BusyError: It took too long.
            StoreError: The store failed.
        """
        question = words.about(metric)
        looks = [(part, await self._looks.at(part)) for part in question.metrics]
        request = question.request
        asked = words.model_dump(exclude={"start", "end", "last", "format"})
        definition = [metric.id, repr(metric.measures), request.start, request.end, form]
        marks = [look.mark(*request.read_range(part.span_ms)) for part, look in looks]
        tag = f'W/"{_digest([marks, asked, definition])}"'
        return question, tag, repr([tag, *((at.fresh_until, at.read_until) for _, at in looks)])

    async def body(self, question: Question, key: str, limit: int | None, form: Form) -> bytes:
        """The answer; it is given up when all who wait for it are cancelled.

        Args:
            key: As of `tag`.

        Raises:
            QueryError: It cannot be given, or is too large.
            BusyError: It took too long.
            StoreError: The store failed.
            CorruptStateError: A stored state does not verify.
        """
        return await self._bodies.get(key, lambda: self._make(question, limit, form))

    async def _make(self, question: Question, limit: int | None, form: Form) -> bytes:
        async def answer(store: ServingStore, deadline: Deadline) -> bytes:
            began = time.perf_counter()
            watch = RowWatch(self._most_rows(limit), deadline)
            table = with_progress(await question.answer(store, watch.rows))
            return _written(table, time.perf_counter() - began, form)

        return await self.readers.run(answer, self._settings.web_timeout_s)

    def _most_rows(self, limit: int | None) -> int | None:
        """How many rows may be merged; None where only so many of them are answered."""
        most = self._settings.web_max_rows
        return None if limit is not None and limit <= most else most


class RowWatch:
    """Ends what becomes too large, or takes too long."""

    def __init__(self, max_rows: int | None, deadline: Deadline) -> None:
        self._max_rows = max_rows
        self._deadline = deadline

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows.

        Raises:
            QueryError: There are too many.
            TimeoutError: It takes too long.
        """
        for number, row in enumerate(rows):
            if self._max_rows is not None and number >= self._max_rows:
                raise QueryError(
                    f"the answer has more than {self._max_rows:,} rows: ask for a shorter range,"
                    " wider windows or fewer dimensions, or let FASTDATA_WEB_MAX_ROWS be more"
                )
            if number % _ROWS_A_LOOK == 0 and self._deadline.left_s <= 0:
                raise TimeoutError
            yield row


def with_progress(table: pa.Table) -> pa.Table:
    """An answer with two columns more.

    * `in_progress`: the window is not over at `fresh_until`; its numbers still grow.
    * `replayed_until`: up to when batch has counted the window, without a hole; null when it has
      not counted its first hour. What is later is of the speed layer alone.

    Raises:
        QueryError: The table has a column of that name.
    """
    if clash := {"in_progress", "replayed_until"}.intersection(table.schema.names):
        raise QueryError(
            f"the answer has a column {min(clash)!r} of its own, which says something else here:"
            " give that dimension or measure another name"
        )
    about = describe(table)
    stretches = [
        (parse_instant(part["start"]), parse_instant(part["end"])) for part in about["replayed"]
    ]
    starts, ends = (
        table.column(name).cast(pa.int64()).to_pylist() for name in ("window_start", "window_end")
    )
    fresh = about["fresh_until"]
    if fresh is None:
        growing = pa.repeat(pa.scalar(value=True), table.num_rows)
    else:
        until = pa.scalar(parse_instant(fresh), _INSTANT)
        growing = pc.greater(table.column("window_end"), until)
    replayed = [_until(stretches, start, end) for start, end in zip(starts, ends, strict=True)]
    table = table.append_column("in_progress", growing)
    return table.append_column("replayed_until", pa.array(replayed, _INSTANT))


def _until(stretches: Sequence[tuple[int, int]], start: int, end: int) -> int | None:
    index = bisect_right(stretches, start, key=lambda stretch: stretch[0]) - 1
    if index < 0 or stretches[index][1] <= start:
        return None
    return min(stretches[index][1], end)


def _written(table: pa.Table, took_s: float, form: Form) -> bytes:
    out = io.BytesIO()
    if form == "csv":
        write_csv(table, out)
    elif form == "json":
        write_json(table, took_s, out)
    else:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def _digest(parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()
