"""The command: its ready line, its end, and what it refuses to begin with."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import fastdata
from tests.answer.trips import DECLARATION, SCHEMA
from tests.web.serving import fill


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a user has it: agents, a schema, a store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "trips.py").write_text(DECLARATION)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "fastdata.toml").write_text('store = "sqlite:///store.db"\n')
    asyncio.run(fill(fastdata.load("agents/trips.py").rides, "sqlite:///store.db"))
    return tmp_path


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "fastdata", "serve", *words],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_serves_and_ends_streams_in_order(
    folder: Path, number: signal.Signals
) -> None:
    with start(folder, "--port", "0") as server:
        assert server.stdout is not None
        ready = server.stdout.readline()
        url = ready.split()[2]
        with httpx2.stream("GET", f"{url}/api/v1/stream", timeout=60) as stream:
            lines = stream.iter_lines()
            assert "retry: 2000" == next(lines)
            server.send_signal(number)
            *_, last = lines  # to the end: it is not cut off
        rest, errors = server.communicate(timeout=60)
    assert f"serving at {url} (API: {url}/api/docs); Ctrl-C stops it\n" == ready
    assert ("", "stopped\n", "", 0) == (last, rest, errors, server.returncode)


def test_what_it_cannot_begin_with_is_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = run(folder, "--port", str(port))
    assert f"fastdata: port {port} of 127.0.0.1 cannot be listened at (Address already" in shown
    assert "no token is set: set FASTDATA_WEB_TOKEN" in run(folder, "--host", "0.0.0.0")
    (folder / "agents" / "trips.py").unlink()
    assert "fastdata: there are no agents in" in run(folder)


def run(folder: Path, *words: str) -> str:
    """What it says on stderr, before it ends with 1."""
    with start(folder, *words) as server:
        _, errors = server.communicate(timeout=60)
    assert (1, 1) == (server.returncode, errors.count("\n"))
    return errors
