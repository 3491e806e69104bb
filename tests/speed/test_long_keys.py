"""What a worker does with an event that has too long a key for a metric."""

from fastdata import Count, Metric
from tests.speed.conftest import Bench


async def test_a_worker_puts_the_event_aside_for_the_metrics_with_that_key(bench: Bench) -> None:
    others = Metric("others", bench.source, ["size"], {"n": Count()})
    layer = bench.layer(bench.metric, others)
    await layer.open(0, None, 0, 3)
    for offset, page in enumerate(["a", "p" * 2_045, "p" * 2_044]):
        layer.fold(0, bench.record(offset, page=page, size=1))
    await layer.flush()

    assert list((await bench.counts()).values()) == [1, 1]
    (partial,) = await bench.partials(others)
    assert others.load(partial.state) == [3]
    assert [(b.record.offset, b.stage, b.reason) for b in bench.letters] == [(1, "key", "too-long")]
    assert "2049 bytes" in bench.letters[0].detail
    assert "substring(page, 1, 200)" in bench.letters[0].detail
    assert {why: n for (_, why), n in (await bench.unfolded()).items()} == {"dead:too-long": 1}


async def test_an_event_that_is_read_again_is_put_aside_again_and_counted_once(
    bench: Bench,
) -> None:
    for _ in range(2):
        layer = bench.layer()
        await layer.open(0, None, 0, 1)
        layer.fold(0, bench.record(0, page="p" * 3_000))
        await layer.flush()

    assert {why: n for (_, why), n in (await bench.unfolded()).items()} == {"dead:too-long": 1}
    assert await bench.counts() == {}
