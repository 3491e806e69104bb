"""What an assistant can ask, and what answers it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from fastdata.answer.request import QueryRequest
from fastdata.archive import open_archive_storage
from fastdata.coordinates.instants import now_ms, parse_duration, to_iso
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError, did_you_mean
from fastdata.local.running import find_running
from fastdata.mcp.arguments import (
    DifferenceArguments,
    NoArguments,
    QuestionArguments,
    StatusArguments,
    checked,
)
from fastdata.mcp.shown import shown_rows, shown_source, shown_verification
from fastdata.operate.freshness import late_to_count, late_to_read
from fastdata.store.protocol import ServingStore
from fastdata.verify.errors_metric import find_asked
from fastdata.verify.reports import VerifyProgress
from fastdata.verify.segments import first_segment
from fastdata.verify.verify import verify
from fastdata.web.desk import Desk
from fastdata.web.readers import Deadline
from fastdata.web.reports import causes_of, metrics_of, status_of

__all__ = ["TOOLS", "AssistantTool", "call"]

_Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AssistantTool:
    """Something that an assistant can ask.

    Attributes:
        arguments: What it takes.
        answer: Answers it, as a document of JSON; its docstring is what assistants are told.
    """

    arguments: type[BaseModel]
    answer: Callable[[Desk, Any], Awaitable[_Document]]

    @property
    def description(self) -> str:
        """What an assistant is told of it."""
        return " ".join((self.answer.__doc__ or "").split())


async def call(desk: Desk, name: str, values: dict[str, Any]) -> _Document:
    """The answer of a tool.

    Args:
        values: Its arguments by name, as they came.

    Raises:
        QueryError: There is no such tool, or an argument is wrong.
        UnknownMetricError: There is no such metric.
        BusyError: It took too long.
        ArchiveError: The archive, which was to be recounted, cannot be read.
        VerifyError: It cannot be recounted.
        CorruptStateError: What is stored does not verify.
        StoreError: The store failed.
    """
    if name not in TOOLS:
        advice = did_you_mean(name, TOOLS, f"there are: {', '.join(TOOLS)}")
        raise QueryError(f"there is no tool {name!r}; {advice}")
    tool = TOOLS[name]
    return await tool.answer(desk, checked(tool.arguments, values))


async def _list_metrics(desk: Desk, _arguments: NoArguments) -> _Document:
    """All metrics that can be asked, and what time it is `now`. Begin here.

    Of each: dimensions, measures, source, smallest window, time zone, of which time anything is
    `stored`, and which time was `replayed`, so that its numbers are exact. Those that are `derived`
    are computed from others, and are queried like these.
    """
    return {"now": to_iso(now_ms())} | (await metrics_of(desk)).model_dump()


async def _query_metric(desk: Desk, asked: QuestionArguments) -> _Document:
    """Numbers of a metric over an interval: a row for each window and combination of dimensions.

    A row is `exact`, or else fresh: of the speed layer, until a replay makes it exact.
    `in_progress`: its window is not over, and its numbers still grow. `gap`: events may be missing
    until the next replay. `m_lower` and `m_upper` are the bounds of a measure `m` that is not
    certain; if they are null, none is known. `fresh_until` is how far in event time the speed layer
    has come. `is_cut`: there are more rows than `limit`. To sum over a dimension leave it out of
    `by`: means and distinct counts of rows cannot be added up.
    """
    metric = find_asked(desk.catalog, asked.metric)
    # One more tells whether it was cut.
    words = asked.model_copy(update={"limit": asked.limit + 1})
    question, _, key = await desk.answers.tag(metric, words, "json")
    answer: _Document = json.loads(await desk.answers.body(question, key, words.limit, "json"))
    rows = answer.pop("rows")
    is_cut = len(rows) > asked.limit
    answer |= {"limit": asked.limit, "is_cut": is_cut}
    if is_cut:
        answer["hint"] = (
            f"there are more than these {asked.limit:,} rows: ask for wider windows (every), fewer"
            " dimensions (by), a condition (where), the largest ones (order), or a larger limit"
        )
    elif not rows:
        stored = []
        for part in question.metrics:
            held = (await desk.looks.at(part)).held
            stretch = f"from {to_iso(held[0])} to {to_iso(held[1])}" if held else "of no time yet"
            stored.append(f"{part.name} is stored {stretch}")
        answer["hint"] = f"no rows: {', '.join(stored)}; check from, to and where"
    names = [name for name in metric.columns if rows and name in rows[0]]
    return answer | {"rows": shown_rows(rows[: asked.limit], names)}


async def _read_status(desk: Desk, asked: StatusArguments) -> _Document:
    """How far each layer is: what is `late` and why, and of each source the lags.

    `lag_events` were written and not folded by the speed layer yet, the oldest of them `lag_s`
    seconds ago. `not_replayed_for_s` is the age of the oldest event that no replay has counted.
    `unfolded` events were counted apart: late, future, repeat, or dead letters (`dead:...`);
    `dead_before` are those of these that are of an earlier log, and may be gone with it.
    `workers` fold and `archivers` archive now, as far as the broker tells; `replays` is the newest
    one of each metric. `problems` names what could not be reached; null is what is not known.
    `dev` says where a `fastdata dev` of this folder has its page, if one is running.
    """
    max_lag_s = _seconds("max_lag", asked.max_lag)
    max_age_s = None if asked.max_age is None else _seconds("max_age", asked.max_age)
    status = await status_of(desk)
    late = late_to_read(status, max_lag_s, ("speed", "archive"))
    late += [] if max_age_s is None else late_to_count(status, max_age_s)
    running = find_running(desk.settings)
    return {
        "now": to_iso(now_ms()),
        "dev": None if running is None else str(running),
        "late": [delay.as_dict() for delay in late],
        "problems": list(status.problems),
        "sources": [shown_source(source) for source in status.sources],
    }


def _seconds(name: str, text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise QueryError(f"{name}: {error}") from error


async def _explain_difference(desk: Desk, asked: DifferenceArguments) -> _Document:
    """Why fresh numbers of a metric were not the exact ones, by cause.

    Causes: `late` and `future` events are left to batch; `duplicate` was counted twice; `gap` and
    `definition` were skipped; `behind` is not folded yet; `dead letter` could not be read;
    `unarchived` is in no archive; `sketch` is an estimate within its bounds; `none` agrees.
    `stored` is what verifications found: `error` is relative (0.01 is 1%) and by measure; rows with
    measure null count `events`. With `recount`, archived events of some hours are counted anew:
    `causes` counts events, `errors` are by measure, and `unexplained` has to be 0.
    """
    metric = desk.catalog.metric(asked.metric)
    request = QueryRequest.parse(
        metric, asked.start, asked.end, "all", None, asked.zone, asked.last
    )
    answer: _Document = {
        "metric": metric.name,
        "definition": metric.id,
        "start": None if request.start is None else to_iso(request.start),
        "end": None if request.end is None else to_iso(request.end),
        "stored": [cause.model_dump() for cause in await causes_of(desk, metric, asked)],
        "recounted": None,
    }
    if asked.recount is not None:
        answer["recounted"] = await _recounted(desk, metric, request, asked.recount)
    elif not answer["stored"]:
        answer["hint"] = await _why_nothing(desk, metric) or (
            "no verification of this time was stored: ask again with recount=4, or have"
            " `fastdata verify --sample 24 --store-result` run after each replay"
        )
    return answer


async def _why_nothing(desk: Desk, metric: Metric) -> str | None:
    """Why no verification can compare anything yet; None where one can."""

    async def read(store: ServingStore, _deadline: Deadline) -> str | None:
        return await first_segment(store, metric)

    return await desk.readers.run(read, desk.settings.web_timeout_s)


async def _recounted(desk: Desk, metric: Metric, request: QueryRequest, hours: int) -> _Document:
    async def recount(store: ServingStore, deadline: Deadline) -> _Document:
        def look(_progress: VerifyProgress) -> None:
            if deadline.left_s <= 0:
                raise TimeoutError

        archive = await asyncio.to_thread(open_archive_storage, desk.settings.archive, create=False)
        report = await verify(
            [metric],
            store=store,
            archive=archive,
            start=request.start,
            end=request.end,
            sample=hours,
            on_progress=look,
        )
        return shown_verification(report.metrics[0])

    return await desk.answers.readers.run(recount, desk.settings.web_timeout_s)


TOOLS: Mapping[str, AssistantTool] = MappingProxyType(
    {
        "list_metrics": AssistantTool(NoArguments, _list_metrics),
        "query_metric": AssistantTool(QuestionArguments, _query_metric),
        "read_status": AssistantTool(StatusArguments, _read_status),
        "explain_difference": AssistantTool(DifferenceArguments, _explain_difference),
    }
)
