"""What an assistant is refused, and what it is told to do; and the process itself."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fastdata import mcp
from fastdata.errors import SettingsError
from tests.mcp.flights import Assistant, assisted

DEPARTURES = {"metric": "departures"}


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("query_metrics", {}, "there is no tool 'query_metrics'; did you mean 'query_metric'?"),
        ("query_metric", {}, "metric: Field required"),
        ("query_metric", {"metric": "departure"}, "did you mean 'departures'?"),
        (
            "query_metric",
            DEPARTURES | {"form": "2013"},
            "did you mean 'from'? There are: metric,",
        ),
        ("query_metric", DEPARTURES | {"by": ["orign"]}, "did you mean 'origin'?"),
        ("query_metric", DEPARTURES | {"by": "[origin"}, "has no dimension '[origin'"),
        ("query_metric", DEPARTURES | {"by": "[" * 100_000}, "by.0: String should have at most"),
        ("query_metric", DEPARTURES | {"where": "origin ="}, "where of a query of metric"),
        ("query_metric", DEPARTURES | {"measures": ["flight"]}, "did you mean 'flights'?"),
        ("query_metric", DEPARTURES | {"every": "1x"}, "every"),
        ("query_metric", DEPARTURES | {"limit": 0}, "limit: Input should be greater than"),
        ("query_metric", DEPARTURES | {"from": "2013-02-01", "to": "2013-01-01"}, "2013-02-01"),
        ("query_metric", DEPARTURES | {"zone": "Europe/Berln"}, "zone"),
        ("read_status", {"max_lag": "soon"}, "max_lag: not a duration: 'soon'; write a"),
        ("read_status", {"max_lag": "9" * 400 + "s"}, "at most it is 999999999d"),
        ("list_metrics", {"name": "x"}, "there is no argument 'name'; there are: none"),
        ("explain_difference", {"metric": "departures:error"}, "did you mean 'departures'?"),
        ("explain_difference", DEPARTURES | {"recount": 0}, "recount: Input should be"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    assistant: Assistant, tool: str, arguments: dict[str, object], expected: str
) -> None:
    assert expected in assistant.refusal(tool, **arguments)


def test_limits_are_those_of_the_web(folder: Path) -> None:
    with assisted(folder, FASTDATA_WEB_MAX_ROWS="50", FASTDATA_WEB_TIMEOUT_S="0.001") as assistant:
        late = assistant.refusal("query_metric", **DEPARTURES)
    assert "FASTDATA_WEB_TIMEOUT_S" in late
    with assisted(folder, FASTDATA_WEB_MAX_ROWS="50") as assistant:
        large = assistant.refusal("query_metric", metric="departures", every="1m", limit=51)
        small = assistant.ask("query_metric", metric="departures", every="1m", limit=49)
    assert "the answer has more than 50 rows: ask for a shorter range" in large
    assert 49 == len(small["rows"])


def test_a_recount_that_takes_too_long_is_ended(folder: Path) -> None:
    with assisted(folder, FASTDATA_WEB_TIMEOUT_S="0.05") as assistant:
        refusal = assistant.refusal("explain_difference", recount=1_000, **DEPARTURES)
    assert "this took longer than 0.05 s: ask for a shorter range" in refusal


def test_a_store_that_is_away_is_said_without_its_password(folder: Path) -> None:
    url = "postgresql://reader:hunter2@127.0.0.1:1/flat?password=hunter3"
    with assisted(folder, FASTDATA_STORE=url) as assistant:
        said = assistant.refusal("query_metric", **DEPARTURES)
        status = json.dumps(assistant.ask("read_status"))
    assert "127.0.0.1" in said + status
    shown = said + status + (folder / "stderr").read_text()
    assert ("hunter" in shown, "reader" in shown) == (False, False)


def test_nothing_but_the_protocol_is_on_stdout_whatever_is_printed(folder: Path) -> None:
    agents = folder / "agents" / "loud.py"
    agents.write_text("print('a user prints this')\n")
    asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    try:
        run = subprocess.run(
            [sys.executable, "-m", "fastdata", "mcp"],
            cwd=folder, input=json.dumps(asked) + "\n", capture_output=True, text=True, check=True,
            timeout=60,
        )  # fmt: skip
    finally:
        agents.unlink()
    assert [1] == [json.loads(line)["id"] for line in run.stdout.splitlines()]
    assert "a user prints this" in run.stderr


@pytest.mark.parametrize(
    ("line", "id"),
    [
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": "\\ud800"}}\n', 7),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "\\udfff"}\n', "a"),
        (b"no JSON\n", None),
        (b"[" * 100_000 + b"\n", None),
    ],
)
def test_what_cannot_be_read_is_answered_and_what_comes_after_it_too(
    folder: Path, line: bytes, id: object
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fastdata", "mcp"],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        for message in (line, b'{"jsonrpc": "2.0", "id": 8, "method": "ping"}\n'):
            server.stdin.write(message)
            server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
    (refusal,) = [answer for answer in answers if "error" in answer]
    assert (id, -32700) == (refusal["id"], refusal["error"]["code"])
    assert "Invalid JSON" in refusal["error"]["message"]
    assert 8 in [answer["id"] for answer in answers]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_its_client_still_listens(
    folder: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fastdata", "mcp"],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert server.stdout.readline()
        server.send_signal(number)
        assert (0, b"") == (server.wait(30), server.stderr and server.stderr.read())


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("mcp") is not None
    mcp.check_installed()
    monkeypatch.setattr(mcp, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[mcp\]'"):
        mcp.check_installed()


def test_a_folder_without_agents_is_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fastdata", "mcp"],
        cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (1, "", 1) == (run.returncode, run.stdout, run.stderr.count("\n"))
    assert "fastdata: there are no agents in" in run.stderr
