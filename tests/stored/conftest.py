"""A copy of what version 0.1.0 has written."""

from pathlib import Path

import pytest

from tests.stored.written import Written


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)
