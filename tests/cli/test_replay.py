"""`fastdata replay` over an archive in a folder."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.archive import open_archive_storage
from fastdata.cli.main import commands
from tests.batch.sales import FIRST, Sales


def test_offsets_that_were_never_archived_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = Sales(tmp_path, open_archive_storage(str(tmp_path / "kept")))
    asyncio.run(sales.archive(FIRST, log_start=6))
    monkeypatch.setenv("FASTDATA_AGENTS", str(tmp_path / "agents"))
    monkeypatch.setenv("FASTDATA_ARCHIVE", str(tmp_path / "kept"))
    monkeypatch.setenv("FASTDATA_STORE", "memory:")

    done = CliRunner().invoke(commands, ["replay", "--metric", "by_shop", "--workers", "0"])

    assert done.exit_code == 0, done.output
    assert (
        "warning: offsets 0 to 5 of partition 0 were never archived; "
        "their events are not in the totals"
    ) in done.output
