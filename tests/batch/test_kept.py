"""States that are kept beside the archive."""

from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.instants import HOUR_MS, parse_instant
from fastdata.declare.metric import Metric
from fastdata.errors import CorruptStateError
from tests.batch.sales import DAY, Sales

ROWS = [(DAY, '["north"]', b"\x00state"), (DAY, "[null]", bytes(70_000))]


@pytest.fixture
def metric(sales: Sales) -> Metric:
    return sales.by_shop


@pytest.fixture
def storage(tmp_path: Path) -> ArchiveStorage:
    return open_archive_storage(str(tmp_path / "kept"))


async def test_what_was_kept_is_read(storage: ArchiveStorage, metric: Metric) -> None:
    hours, days = KeptStates(storage, metric, "hours"), KeptStates(storage, metric, "days")
    await hours.write(DAY, "0a", ROWS)
    await hours.write(DAY, "0a", ROWS)
    await hours.write(DAY + HOUR_MS, "0b", [])

    assert await hours.read(DAY, "0a") == ROWS
    assert await hours.read(DAY + HOUR_MS, "0b") == []
    assert await hours.read(DAY, "0b") is None
    assert await days.read(DAY, "0a") is None


@pytest.mark.parametrize("text", ["0987-01-31T23:30", "2013-02-01", "9999-12-31T23:00"])
async def test_windows_are_found_by_their_starts(
    storage: ArchiveStorage, metric: Metric, text: str
) -> None:
    kept, start = KeptStates(storage, metric, "days"), parse_instant(text)
    await kept.write(start, "0a", ROWS)
    await kept.write(start, "0b", ROWS)
    await kept.write(DAY, "0c", ROWS)

    assert await kept.keys([start, start - HOUR_MS]) == {start: {"0a", "0b"}}
    assert await kept.keys([]) == {}


async def test_other_contents_of_a_window_are_swept(
    storage: ArchiveStorage, metric: Metric
) -> None:
    kept = KeptStates(storage, metric, "hours")
    for hour, key in ((DAY, "0a"), (DAY, "0b"), (DAY + HOUR_MS, "0c")):
        await kept.write(hour, key, ROWS)

    assert await kept.sweep({DAY: "0b"}) == 1
    assert await kept.sweep({DAY: "0b"}) == 0
    assert await kept.keys([DAY, DAY + HOUR_MS]) == {DAY: {"0b"}, DAY + HOUR_MS: {"0c"}}


@pytest.mark.parametrize("data", [b"", b"no parquet", b"PAR1PAR1"])
async def test_what_is_no_state_is_told(
    storage: ArchiveStorage, metric: Metric, data: bytes
) -> None:
    kept = KeptStates(storage, metric, "hours")
    await kept.write(DAY, "0a", ROWS)
    (name,) = await storage.names("rollups")
    await storage.replace(name, data, "aside")

    with pytest.raises(CorruptStateError, match=r"delete it and replay its day"):
        await kept.read(DAY, "0a")
