"""The short way of ordinary records against the long way of all, on random logs."""

import random
from dataclasses import astuple
from pathlib import Path

import pytest

from fastdata import Count, Max, Mean, Metric, Min, Sum, Uniques
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS
from fastdata.declare.metric import Measure
from fastdata.speed.flush import take_snapshot
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.state import Record
from tests.speed.conftest import NOW, Bench

TIMES = (0, 0, 0, 1, MINUTE_MS, -MINUTE_MS, -2 * HOUR_MS, HOUR_MS, DAY_MS, -900 * DAY_MS)


def metrics(bench: Bench) -> list[Metric]:
    measures: dict[str, Measure] = {
        "n": Count(), "size": Sum("size"), "mean": Mean("size"), "least": Min("size"),
        "most": Max("size"), "pages": Uniques("page"), "sizes": Uniques("size"),
    }  # fmt: skip
    return [
        bench.metric,
        Metric("sets", bench.source, by=["page"], measures=measures, grouping_sets=[["page"], []]),
        Metric("some", bench.source, measures=measures, where="size > 5"),
    ]


def records(bench: Bench, rng: random.Random) -> list[Record]:
    """Events of which many are late, early, repeated, unreadable or without a place."""
    found, offset = list[Record](), 0
    for _ in range(150):
        offset += rng.choice((1,) * 30 + (2,))  # the log has holes
        if rng.random() < 0.05:
            broken = rng.choice((b"", b"\0\0", b"\0" * 9))
            found.append(Record(offset, rng.choice((None, -1, NOW)), None, broken))
            continue
        page = rng.choice(["a", "b", "", None, "p" * 3_000] if rng.random() < 0.3 else ["a", "b"])
        fields = {
            "page": page,
            "size": rng.choice((None, 0, 7, -(1 << 40))),
            "id": rng.choice((None, f"i{rng.randrange(20)}", f"i{offset}")),
        }
        at = None if rng.random() < 0.02 else NOW + rng.choice(TIMES)
        found.append(bench.record(offset, at, **fields))
    return found


async def opened(bench: Bench, of: list[Metric]) -> SpeedLayer:
    layer = bench.layer(*of)
    await layer.open(0, None, 0, 10_000)
    return layer


def everything(bench: Bench, layer: SpeedLayer) -> object:
    snapshot = take_snapshot(layer.partitions, layer.metrics, bench.now)
    owned = layer.partitions[0]
    return (
        snapshot.rows, snapshot.partials, [astuple(p) for p in snapshot.progress],
        [astuple(letter) for letter in snapshot.letters], owned.position, owned.watermark,
        owned.written, layer.intake.left_out,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
async def test_the_short_way_leads_where_the_long_way_does(tmp_path: Path, seed: int) -> None:
    bench, rng = Bench(tmp_path), random.Random(seed)
    log, of = records(bench, rng), metrics(bench)
    short, long = await opened(bench, of), await opened(bench, of)
    # Some of it was folded by an owner before, whose marker vouches for it.
    for layer in (short, long):
        layer.partitions[0].vouched = (seed % 3) * 20
        layer.partitions[0].new_metrics = frozenset({1} if seed % 2 else ())

    taken = 0
    while taken < len(log):
        stop = min(len(log), taken + rng.randint(1, 40))
        done = short.fold_run(0, log, taken, stop)
        if done == taken:
            assert log[taken].offset > short.partitions[0].position  # a hole, and nothing else
            short.fold(0, log[taken])
            done += 1
        taken = done
    for record in log:
        long.intake.take(long.partitions[0], record)

    assert everything(bench, short) == everything(bench, long)


async def test_most_of_an_ordinary_log_goes_the_short_way(bench: Bench) -> None:
    layer = await opened(bench, [bench.metric])
    log = [bench.record(n, NOW + n, page="a", id=f"i{n}") for n in range(100)]
    layer.fold(0, log[0])  # and the schema is known

    assert layer.intake.take_ordinary(layer.partitions[0], log, 1, 100) == 100


async def test_a_run_ends_before_what_is_missing(bench: Bench) -> None:
    layer = await opened(bench, [bench.metric])
    log = [bench.record(n, page="a") for n in (0, 1, 2, 5, 6)]

    done = 0
    while (after := layer.fold_run(0, log, done, 5)) > done:
        done = after
    assert (done, layer.partitions[0].position) == (3, 3)
    layer.fold(0, log[3])
    assert layer.fold_run(0, log, 4, 5) == 5
    assert layer.fold_run(0, log, 0, 1) == 1  # folded already
    assert layer.partitions[0].position == 7


async def test_what_all_short_ways_left_to_another_reader_is_folded_once(bench: Bench) -> None:
    """An event that one metric cannot place is in the cells of the others once."""
    layer = await opened(
        bench, [bench.metric, Metric("all", bench.source, measures={"n": Count()})]
    )
    layer.fold(0, bench.record(0, page="a"))
    assert layer.fold_run(0, [bench.record(1, page="p" * 3_000)], 0, 1) == 1
    await layer.flush()

    (partial,) = await bench.partials(layer.metrics[1])
    assert layer.metrics[1].load(partial.state) == [2]
    assert [letter.stage for letter in bench.letters] == ["key"]


async def test_a_map_function_that_is_declared_late_is_called_from_then_on(bench: Bench) -> None:
    layer = await opened(bench, [bench.metric])
    layer.fold(0, bench.record(0, page="a"))
    bench.source.map(lambda event: None)
    layer.fold(0, bench.record(1, page="a"))
    await layer.flush()

    assert await bench.counts() == {'["a"]': 1}
