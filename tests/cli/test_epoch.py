"""What `fastdata epoch` says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.archive.epochs import open_epoch
from fastdata.coordinates.epochs import LogIdentity
from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker

pytestmark = pytest.mark.processes


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Its topic was in a cluster of the name `here` before."""
    with MockBroker() as broker:
        broker.create("clicks", 2)
        storage = open_archive_storage(str(tmp_path / "kept"))
        asyncio.run(open_epoch(storage, "clicks", LogIdentity("here")))
        kept = str(tmp_path / "kept")
        yield Lab(tmp_path / "lab", broker.address, "clicks", FASTDATA_ARCHIVE=kept)


def test_an_epoch_that_has_begun_stays_where_it_is(lab: Lab) -> None:
    planned = lab.fastdata("epoch", "clicks", "--from", "latest", "--dry-run")
    assert (planned.returncode, "epoch 1 would begin" in planned.stdout) == (0, True)
    assert lab.fastdata("epoch").returncode == 1
    begun = lab.fastdata("epoch", "clicks", "--from", "latest")
    assert (begun.returncode, "epoch 1 has begun" in begun.stdout) == (0, True)
    again = lab.fastdata("epoch", "clicks", "--from", "2013-01-01")
    assert again.returncode == 0
    assert "clicks: nothing was begun, for epoch 1 is of this log" in again.stdout
    shown = lab.fastdata("epoch")
    assert (shown.returncode, "nothing was begun" in shown.stdout) == (0, False)


def test_a_place_that_is_no_time_is_refused_in_one_line(lab: Lab) -> None:
    done = lab.fastdata("epoch", "clicks", "--from", "soon")
    assert done.returncode == 2
    assert "not a date or time: 'soon'" in done.stderr
    assert "or one of earliest, latest, committed" in done.stderr
    assert "Traceback" not in done.stderr
