"""What is told of metrics and layers, to pages and programs alike."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from fastdata.answer.batches import json_rows
from fastdata.answer.query import question_of
from fastdata.archive import open_archive_storage
from fastdata.coordinates.instants import MINUTE_MS, now_ms, to_iso
from fastdata.declare.derived import AnyMetric, DerivedMetric
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import FastdataError, QueryError, mask_url
from fastdata.operate.alerts import AlertStatus, read_alerts
from fastdata.operate.letters import Page, read_letters
from fastdata.operate.log_reader import LogReader
from fastdata.operate.status import Status, StatusReader
from fastdata.speed.dead_letters import dead_letter_topic
from fastdata.store.past_runs import PastRun, past_runs
from fastdata.store.protocol import ServingStore
from fastdata.verify.errors_metric import errors_of
from fastdata.web.charts import charted
from fastdata.web.desk import Desk
from fastdata.web.looks import Look
from fastdata.web.models import (
    Cause,
    DerivedMetricInfo,
    Dimension,
    Letters,
    MeasureInfo,
    MetricInfo,
    MetricList,
    MetricQuality,
    Quality,
    Stretch,
    VerificationInfo,
)
from fastdata.web.quality import Verified
from fastdata.web.readers import Deadline
from fastdata.web.words import RangeWords

__all__ = [
    "alerts_of", "causes_of", "letters_of", "metrics_of", "quality_of", "replays_of", "status_of",
]  # fmt: skip


async def metrics_of(desk: Desk) -> MetricList:
    """All declared metrics, and of which time anything is known.

    Raises:
        BusyError: It took too long.
        StoreError: The store failed.
    """
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)
    looks = await asyncio.gather(*[desk.looks.at(metric) for metric in metrics])
    return MetricList(
        metrics=[_info(m, look) for m, look in zip(metrics, looks, strict=True)],
        derived=[_derived_info(metric) for _, metric in sorted(desk.catalog.derived.items())],
    )


def _derived_info(metric: DerivedMetric) -> DerivedMetricInfo:
    return DerivedMetricInfo(
        name=metric.name,
        definition=metric.id,
        metrics=[part.name for part in metric.metrics],
        zone=metric.calendar.zone,
        dimensions=_dimensions(metric),
        measures=[
            MeasureInfo(name=label, declared=text, type="double", is_number=True)
            for label, text in metric.measures.items()
        ],
    )


def _dimensions(metric: AnyMetric) -> list[Dimension]:
    return [Dimension(name=name, type=metric.dimension_type(name).kind) for name in metric.by]


def _info(metric: Metric, look: Look) -> MetricInfo:
    types = {label: column.arrow_type() for label, column in metric.columns.items()}
    numbers = charted(metric)
    return MetricInfo(
        name=metric.name,
        definition=metric.id,
        source=metric.source.name,
        topic=metric.source.topic,
        window=f"{metric.window_ms // MINUTE_MS}m",
        zone=metric.calendar.zone,
        dimensions=_dimensions(metric),
        grouping_sets=[list(names) for names in metric.sets],
        measures=[
            MeasureInfo(
                name=label,
                declared=repr(metric.measures[label]),
                type=str(type),
                is_number=label in numbers,
            )
            for label, type in types.items()
        ],
        rollups=[str(grain) for grain in metric.rollups],
        stored=_stretch(look.held),
        replayed=_stretch(look.replayed),
        fresh_until=None if look.fresh_until is None else to_iso(look.fresh_until),
        read_until=None if look.read_until is None else to_iso(look.read_until),
    )


def _stretch(held: tuple[int, int] | None) -> Stretch | None:
    return None if held is None else Stretch(start=to_iso(held[0]), end=to_iso(held[1]))


async def status_of(desk: Desk) -> Status:
    """The status, read at most once a second for all who ask; secrets in it are masked.

    What cannot be reached is named in its problems.
    """
    return await desk.status.get(lambda: _status(desk))


async def _status(desk: Desk) -> tuple[Status, float]:
    began, problems = time.monotonic(), list[str]()

    async def read(store: ServingStore | None, _deadline: Deadline) -> Status:
        archive = None
        try:
            archive = await asyncio.to_thread(
                open_archive_storage, desk.settings.archive, create=False
            )
        except FastdataError as error:
            problems.append(str(error))
        with LogReader(desk.broker) as log:
            reader = StatusReader(
                desk.catalog,
                store=store,
                archive=archive,
                log=log,
                application_id=desk.settings.application_id,
            )
            return await reader.read(now_ms())

    try:
        status = await desk.readers.run(read, desk.settings.web_timeout_s)
    except FastdataError as error:
        problems.append(str(error))
        status = await read(None, Deadline(0))
    masked = tuple(mask_url(text) for text in (*problems, *status.problems))
    return replace(status, problems=masked), time.monotonic() - began


async def letters_of(
    desk: Desk, source: str | None, reason: str | None, limit: int, before: str
) -> Letters:
    """A page of dead letters.

    Raises:
        QueryError: There is no such source.
        BrokerError: The broker cannot be used; retriable.
        SettingsError: A file holds no certificate or key.
    """
    topic = dead_letter_topic(_source(desk, source).topic)
    parts = [part.split(":") for part in before.split(",") if part]
    places = {int(p): min(int(offset), 1 << 62) for p, offset in parts}

    broker = desk.broker

    def read() -> Page:
        with LogReader(broker) as log:
            return read_letters(log, topic, limit, reason, places)

    await broker.check()  # which says why it cannot be used
    page = await asyncio.to_thread(read)
    after = page.before and ",".join(f"{p}:{offset}" for p, offset in sorted(page.before.items()))
    letters = [asdict(letter) for letter in page.letters]
    return Letters.model_validate({"topic": topic, "letters": letters, "next": after})


def _source(desk: Desk, name: str | None) -> Source:
    sources = desk.catalog.sources
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name not in sources:
        have = ", ".join(sorted(sources)) or "none"
        raise QueryError(f"source is {name or 'missing'}; those that are declared: {have}")
    return sources[name]


async def replays_of(desk: Desk) -> list[tuple[Metric, Look, list[PastRun]]]:
    """Of each metric what is known of it, and its replays that are over.

    Raises:
        StoreError: The store failed.
    """
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)

    async def read(store: ServingStore, _deadline: Deadline) -> list[list[PastRun]]:
        return [await past_runs(store, metric.id) for metric in metrics]

    looks = await asyncio.gather(*[desk.looks.at(metric) for metric in metrics])
    past = await desk.readers.run(read, desk.settings.web_timeout_s)
    return list(zip(metrics, looks, past, strict=True))


async def alerts_of(desk: Desk) -> list[AlertStatus]:
    """How the declared alerts are.

    Raises:
        BusyError: It took too long.
        CorruptStateError: The state of one does not verify.
        StoreError: The store failed.
    """

    async def read(store: ServingStore, _deadline: Deadline) -> list[AlertStatus]:
        return await read_alerts(store, desk.catalog.alerts.values())

    return await desk.readers.run(read, desk.settings.web_timeout_s)


async def quality_of(desk: Desk, words: RangeWords, verified: Sequence[Verified]) -> Quality:
    """What verifications found, of all metrics.

    Raises:
        QueryError: A word is wrong.
        StoreError: The store failed.
    """
    causes = await asyncio.gather(*[causes_of(desk, item.metric, words) for item in verified])
    metrics = []
    for item, of_metric in zip(verified, causes, strict=True):
        last = VerificationInfo.model_validate(item.last.as_dict()) if item.last else None
        metrics.append(MetricQuality(metric=item.metric.name, verified=last, causes=of_metric))
    return Quality(metrics=metrics)


async def causes_of(desk: Desk, metric: Metric, words: RangeWords) -> list[Cause]:
    """What verifications found of one metric, by measure and cause.

    Raises:
        QueryError: A word is wrong.
        BusyError: It took too long.
        StoreError: The store failed.
    """
    errors = errors_of(metric)
    question = question_of(
        errors,
        words.start,
        words.end,
        last=words.last,
        every="all",
        zone=words.zone,
        by=["measure", "cause"],
    )

    async def read(store: ServingStore, _deadline: Deadline) -> list[Cause]:
        return [Cause.model_validate(row) for row in json_rows(await question.answer(store))]

    return await desk.readers.run(read, desk.settings.web_timeout_s)
