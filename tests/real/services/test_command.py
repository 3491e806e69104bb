"""`make services`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.usefixtures("fetched")
def test_the_set_prints_its_settings_and_ends_with_an_interrupt() -> None:
    command = [sys.executable, "-m", "tests.support.services", "run", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        settings = json.loads(running.stdout.readline())
        servers = psutil.Process(running.pid).children(recursive=True)

        running.send_signal(signal.SIGINT)

        assert running.wait(120) == 0
    assert settings.keys() >= {
        "FASTDATA_ARCHIVE",
        "FASTDATA_BROKER",
        "FASTDATA_REGISTRY",
        "FASTDATA_STORE",
        "AWS_ENDPOINT_URL",
    }
    assert len(servers) >= 5
    assert psutil.wait_procs(servers, timeout=60)[1] == []
