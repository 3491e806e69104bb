"""A metric of orders that is declared anew for each test."""

from pathlib import Path

import pytest

from fastdata import Metric
from tests.alerts.shop import declare


@pytest.fixture
def metric(tmp_path: Path) -> Metric:
    return declare(tmp_path)
