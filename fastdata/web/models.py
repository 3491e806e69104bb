"""What responses look like: the contract, as OpenAPI shows it. Instants are ISO text in UTC."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ANY_PROBLEM",
    "AnswerRow",
    "Cause",
    "DerivedMetricInfo",
    "Dimension",
    "LetterInfo",
    "Letters",
    "MeasureInfo",
    "MetricAnswer",
    "MetricInfo",
    "MetricList",
    "MetricQuality",
    "PastRunInfo",
    "Problem",
    "Quality",
    "Replay",
    "Replays",
    "RunInfo",
    "Stretch",
    "VerificationInfo",
    "responses",
]


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(
        examples=["no metric 'departure'; did you mean 'departures'? declared are: departures"]
    )


class Stretch(BaseModel):
    """An interval of time."""

    start: str = Field(examples=["2013-01-01T00:00:00Z"])
    end: str = Field(description="Exclusive.", examples=["2013-02-01T00:00:00Z"])


class Dimension(BaseModel):
    """A dimension of a metric."""

    name: str
    type: str = Field(description="string, int, bool, timestamp or date", examples=["string"])


class MeasureInfo(BaseModel):
    """A measure of a metric."""

    name: str
    declared: str = Field(examples=["Mean('dep_delay')"])
    type: str = Field(description="Of its values, as Arrow names it.", examples=["int64"])
    is_number: bool = Field(description="Whether a chart can draw it.")


class MetricInfo(BaseModel):
    """A declared metric, and of which time anything is known."""

    name: str
    definition: str = Field(description="Another one has other numbers.")
    source: str
    topic: str
    window: str = Field(description="The smallest width of a row.", examples=["1m"])
    zone: str = Field(description="Of its days, weeks and months.", examples=["UTC"])
    dimensions: list[Dimension]
    grouping_sets: list[list[str]] = Field(description="`by` and `where` must fit into one.")
    measures: list[MeasureInfo]
    rollups: list[str] = Field(description="Kept ready by replays.", examples=[["day", "30d"]])
    stored: Stretch | None = Field(description="From the first hour with anything to the last.")
    replayed: Stretch | None = Field(description="The same, of hours that batch has counted.")
    fresh_until: str | None = Field(description="How far in event time the speed layer is.")
    read_until: str | None = Field(description="Up to when the log is read, by its own time.")


class DerivedMetricInfo(BaseModel):
    """A metric whose rows are computed from those of others; it is queried like these."""

    name: str
    definition: str
    metrics: list[str] = Field(description="Those that it is made of.")
    zone: str = Field(description="Of its days, weeks and months.", examples=["UTC"])
    dimensions: list[Dimension] = Field(description="That all of them have.")
    measures: list[MeasureInfo]


class MetricList(BaseModel):
    """All declared metrics."""

    metrics: list[MetricInfo]
    derived: list[DerivedMetricInfo]


class AnswerRow(BaseModel):
    """One window and combination of dimensions.

    Beside these columns: each dimension of `by`; and for each measure `m` the columns `m`,
    `m_lower` and `m_upper` (null: no value, or no bound is known). Integers are exact at any size,
    decimals are text, and so are `NaN`, `inf` and `-inf`.
    """

    model_config = ConfigDict(extra="allow")

    window_start: str
    window_end: str = Field(description="Exclusive; the window is cut to the range asked for.")
    exact: bool = Field(description="It certainly counts each of its events that was read, once.")
    fresh_until: str | None = Field(description="The same in all rows.")
    read_until: str | None = Field(description="The same in all rows.")
    gap: bool = Field(description="Events may have been skipped and not been replayed yet.")
    in_progress: bool = Field(
        description="The window is not over at `fresh_until`: its numbers still grow."
    )
    replayed_until: str | None = Field(
        description="Up to when batch has counted the window, without a hole; what is later is of"
        " the speed layer alone. Null when its first hour was not replayed."
    )


class MetricAnswer(BaseModel):
    """The answer of both layers: what was asked, and one row per window and dimensions."""

    metric: str
    definition: str
    start: str | None = Field(description="Null when nothing is stored.")
    end: str | None
    every: str
    rolling: str | None
    zone: str
    by: list[str]
    where: str | None
    order: list[str]
    limit: int | None
    fresh_until: str | None = Field(
        description="How far in event time the speed layer has come; null when it has not run."
    )
    read_until: str | None = Field(
        description="Up to when the log is read, by its own time: exact rows count each of their"
        " events that was written before."
    )
    unfolded: int = Field(description="Events that the speed layer left to batch.")
    replayed: list[Stretch] = Field(description="Whose hours batch has counted.")
    gaps: list[Stretch] = Field(description="Whose rows have a gap, also where there is no row.")
    earlier: dict[str, str] | None = Field(
        description="An earlier definition that has answers where this one has none."
    )
    took_s: float
    rows: list[AnswerRow]


class LetterInfo(BaseModel):
    """A record that could not be read, as it lies in the topic of dead letters."""

    partition: int
    offset: int
    stage: str = Field(examples=["decode"])
    reason: str = Field(examples=["malformed"])
    detail: str
    record: dict[str, str] = Field(description="Topic, partition, offset, timestamp of the record.")
    key: str | None
    value: str | None = Field(description="The first 16 KiB: text, or base64 where it is none.")
    is_text: bool
    value_bytes: int


class Letters(BaseModel):
    """A page of dead letters."""

    topic: str
    letters: list[LetterInfo]
    next: str | None = Field(description="`before` of the next page; null when there is none.")


class RunInfo(BaseModel):
    """A replay of one metric."""

    number: int = Field(description="Also the version of what it wrote.")
    start: str
    end: str
    is_done: bool


class PastRunInfo(BaseModel):
    """What a replay that is over did of one metric."""

    began: str
    took_s: float = Field(description="For all metrics that were replayed together.")
    number: int | None = Field(description="Of its run; null when it had nothing to do.")
    start: str | None = Field(description="Of the first hour that it was about.")
    end: str | None = Field(description="Exclusive.")
    counted: int = Field(description="Hours that were counted from the archive.")
    confirmed: int = Field(description="Hours with nothing new.")
    events: int = Field(description="Of the hours that were counted.")
    objects: int = Field(description="Read from the archive, for all metrics of the source.")
    object_bytes: int = Field(description="Of their events, as Avro before compression.")
    error: str | None = Field(description="Why it failed; what it had published stays.")
    next: str | None = Field(description="When its schedule comes again at the latest.")


class Replay(BaseModel):
    """What was replayed of a metric, and what is not."""

    metric: str
    run: RunInfo | None = Field(description="The newest one.")
    past_runs: list[PastRunInfo] = Field(description="The newest 50 that are over, newest first.")
    next: str | None = Field(
        description="When a schedule comes again at the latest, or was due and has not come."
    )
    dirty: list[Stretch] = Field(description="Hours with something that no replay has counted.")


class Replays(BaseModel):
    """Of all metrics."""

    replays: list[Replay]


class Cause(BaseModel):
    """How far the speed layer was off for one reason."""

    measure: str | None = Field(description="Null where events are counted.")
    cause: str = Field(description="`none` where both layers agree.")
    rows: int = Field(description="That were compared.")
    error: float | str | None = Field(description="The mean one, relative to the right value.")
    max_error: float | str | None
    events: int | None = Field(description="By which the layers differed.")


class VerificationInfo(BaseModel):
    """A verification of one metric."""

    began: str
    took_s: float = Field(description="For all metrics that were verified together.")
    start: str | None = Field(description="Of the first hour that it was about.")
    end: str | None = Field(description="Exclusive.")
    counted: int = Field(description="Hours in which the speed layer was compared.")
    confirmed: int = Field(description="Hours in which it could not be.")
    events: int = Field(description="That were counted again.")
    error: str | None = Field(description="How many differences nothing explains.")


class MetricQuality(BaseModel):
    """Of one metric."""

    metric: str
    verified: VerificationInfo | None = Field(
        description="The newest one whose result was stored, whatever the range."
    )
    causes: list[Cause]


class Quality(BaseModel):
    """Of all metrics."""

    metrics: list[MetricQuality]


_PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}
ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Any other problem", "content": _PROBLEM}
}
"""For OpenAPI, of all paths."""


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: which problems a path may have."""
    return {code: {"description": HTTPStatus(code).phrase, "content": _PROBLEM} for code in codes}
