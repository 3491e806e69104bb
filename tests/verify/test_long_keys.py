"""Layers and recount agree about events with a key that is too long."""

from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from tests.verify.clicks import Clicks


@pytest.mark.parametrize("more", ["", 'ends = Metric("ends", clicks, by={"end": "upper(place)"})'])
async def test_what_both_layers_left_out_is_no_difference(tmp_path: Path, more: str) -> None:
    clicks = Clicks(tmp_path, MemoryStore(), more)
    for n in range(8):
        clicks.send(n, place="p" * (2_044 + n % 2))
    await clicks.fold()
    await clicks.replay()

    for report in (await clicks.verify()).metrics:
        assert not report.findings
        assert not +report.causes
    reading = await clicks.store.read(clicks.visits.id, "", "", 0, 1 << 50)
    assert {"p" * 2_044} == {clicks.visits.read_dims(total.dims)[1][0] for total in reading.totals}
    assert 4 == len(reading.totals)
