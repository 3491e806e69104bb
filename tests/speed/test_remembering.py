"""Where the past of a partition begins, when the broker finds records by their time."""

from random import Random
from typing import cast

import pytest
from faust.types import TP

from fastdata.coordinates.instants import DAY_MS, HOUR_MS, now_ms
from fastdata.speed.remembering import first_of_past
from fastdata.speed.transport import FoldingConsumer

TP0, TP1 = TP("events", 0), TP("events", 1)
PAST_MS = 60_000


class Log:
    """Partitions whose records were written at some times, of which the first ones are gone."""

    def __init__(self, times: dict[TP, list[int]], log_starts: dict[TP, int]) -> None:
        self.times = times
        self.log_starts = log_starts
        self.is_dated = True
        self.lookups = 0

    async def offsets_since(self, tps: list[TP], time_ms: int) -> dict[TP, int]:
        self.lookups += 1
        found = {}
        for tp in tps:
            later = [n for n, at in enumerate(self.times[tp]) if at >= time_ms]
            later = [n for n in later if n >= self.log_starts[tp]]
            if later and self.is_dated:
                found[tp] = later[0]
        return found

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.log_starts[tp] for tp in tps}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: len(self.times[tp]) for tp in tps}

    async def first_of_past(self, places: dict[TP, int]) -> dict[TP, int]:
        return await first_of_past(cast(FoldingConsumer, self), places, PAST_MS)


@pytest.mark.parametrize("seed", range(300))
async def test_it_begins_as_long_before_the_next_event_and_not_much_earlier(seed: int) -> None:
    random, now = Random(seed), now_ms()
    times, log_starts, places = {}, {}, {}
    for tp in (TP0, TP1):
        longest = random.choice([1_000, 100_000, HOUR_MS, 30 * DAY_MS])
        count = random.randrange(1, 200)
        times[tp] = sorted(now - random.randrange(longest) for _ in range(count))
        log_starts[tp] = random.randrange(count) if random.random() < 0.3 else 0
        places[tp] = random.randint(log_starts[tp], count)
    first = await Log(times, log_starts).first_of_past(places)

    for tp, place in places.items():
        assert log_starts[tp] <= first[tp] <= place
        at = times[tp][place] if place < len(times[tp]) else now
        missed = [n for n in range(log_starts[tp], place) if times[tp][n] > at - PAST_MS]
        assert first[tp] <= min(missed, default=place)
        oldest = at - PAST_MS - (now - at) - 3_000
        assert all(times[tp][n] >= oldest for n in range(first[tp], place))


async def test_a_partition_at_its_end_asks_little() -> None:
    now = now_ms()
    log = Log({TP0: [now - 90_000, now - 30_000, now - 10_000]}, {TP0: 0})

    assert await log.first_of_past({TP0: 3}) == {TP0: 1}
    assert log.lookups == 3


async def test_where_no_record_is_found_by_its_time_the_past_is_all_that_there_is() -> None:
    log = Log({TP0: [now_ms()] * 9}, {TP0: 2})
    log.is_dated = False

    assert await log.first_of_past({TP0: 5}) == {TP0: 2}


async def test_a_partition_without_records_has_no_past() -> None:
    log = Log({TP0: [], TP1: [now_ms()] * 4}, {TP0: 0, TP1: 0})

    assert await log.first_of_past({TP0: 0, TP1: 2}) == {TP0: 0, TP1: 0}
