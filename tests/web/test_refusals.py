"""Who is let in, what is refused, and how that is said."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastdata import web
from fastdata.answer.query import Question
from fastdata.errors import SettingsError
from fastdata.web import login
from fastdata.web.answers import Answers
from fastdata.web.problems import problem
from fastdata.web.security import check_address
from tests.web.serving import QUERY, Served, serving


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/metrics/ride/query", 404, "no metric 'ride'; did you mean 'rides'?"),
        (f"{QUERY}?bi=city", 400, "bi: there is no such word (/api/docs lists all words)"),
        (f"{QUERY}?by=town", 400, "has no dimension 'town'; its dimensions are: city, line"),
        (f"{QUERY}?where=city", 400, "where of a query of metric 'rides'"),
        (f"{QUERY}?where=1%3D1)%3Bdrop%20table%20heads--", 400, "where of a query of metric"),
        (f"{QUERY}?every=soon", 400, "every: not a duration: 'soon'"),
        (f"{QUERY}?from=soon", 400, "not a date or time: 'soon'"),
        (f"{QUERY}?last=soon", 400, "last: not a duration: 'soon'"),
        (f"{QUERY}?last=9000000d", 400, "begins before the year 1"),
        (f"{QUERY}?last=1h&from=2013-01-01", 400, "last"),
        (f"{QUERY}?zone=Mars", 400, "Mars"),
        (f"{QUERY}?limit=0", 400, "limit: Input should be greater than or equal to 1"),
        (
            f"{QUERY}?measures=m",
            400,
            "has no measure 'm'; did you mean 'km'? Its measures are: n, km",
        ),
        (f"{QUERY}?order=m", 400, "rows cannot be sorted by 'm'"),
        (f"{QUERY}?item=m", 400, "item is 'm'; give a measure and an item"),
        (f"{QUERY}?item=n%3D1", 400, "answers no questions about one item"),
        (f"{QUERY}?format=xml", 400, "format: Input should be 'json', 'csv' or 'arrow'"),
        (f"{QUERY}?where=" + "(" * 5_000, 400, "where.0: String should have at most 4096"),
        ("/api/v1/dead-letters?before=x", 400, "before: String should match"),
        ("/api/v1/nothing", 404, "there is nothing at this address: /api/docs lists"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_that_says_what_to_do(
    served: Served, path: str, status: int, said: str
) -> None:
    code, detail = await served.problem(path)
    assert (status, True) == (code, said in detail), detail


async def test_nothing_can_be_written(served: Served) -> None:
    refused = await served.client.post(QUERY)
    assert (405, "GET") == (refused.status_code, refused.headers["allow"])


async def test_with_a_token_nothing_is_told_without_it(tmp_path: Path) -> None:
    async with serving(tmp_path, web_token="s3cret") as served:
        for path in (QUERY, "/api/v1/metrics", "/api/v1/stream", "/api/v1/none"):
            assert (401, True) == tuple_of(await served.problem(path), "a token is needed")
        for given in ("Bearer wrong", "Bearer", "Basic s3cret", "s3cret"):
            refused = await served.get(QUERY, Authorization=given)
            assert (401, "Bearer") == (refused.status_code, refused.headers["www-authenticate"])
        assert 200 == (await served.get(QUERY, Authorization="bearer s3cret")).status_code
        for path in ("/health/live", "/health/ready", "/api/docs", "/api/openapi.json"):
            # Whoever probes a container names it by its address.
            assert 200 == (await served.get(path, Host="10.1.2.3:8000")).status_code


def tuple_of(refusal: tuple[int, str], said: str) -> tuple[int, bool]:
    return refusal[0], said in refusal[1]


def test_another_address_is_refused_without_a_token() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        check_address(host, "")
    check_address("0.0.0.0", "token")
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(SettingsError, match="no token is set: set FASTDATA_WEB_TOKEN"):
            check_address(host, "")


def test_a_server_without_its_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[web\]'"):
        web.check_installed()


async def test_without_a_token_only_names_of_this_machine_are_answered(served: Served) -> None:
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "[::1]"):
        assert 200 == (await served.get("/health/live", Host=host)).status_code
    for host in ("evil.example:8000", "evil.example", ""):
        assert 421 == (await served.get("/api/v1/metrics", Host=host)).status_code


async def test_a_browser_may_run_nothing_but_scripts_of_the_server(served: Served) -> None:
    for path in (QUERY, "/api/docs", "/api/v1/nothing"):
        headers = (await served.get(path)).headers
        assert (
            "default-src 'none'; script-src 'self'; style-src" in headers["content-security-policy"]
        )
        assert "unsafe" not in headers["content-security-policy"]
        assert "nosniff" == headers["x-content-type-options"]
    page = (await served.get("/api/docs")).text
    assert re.findall("<script(?! src)", page) == []
    assert "style=" not in page


async def test_the_page_about_the_api_has_every_path_and_word(served: Served) -> None:
    page = (await served.get("/api/docs")).text
    api = (await served.get("/api/openapi.json")).json()
    assert "/api/v1/metrics/{name}/query" in api["paths"]
    for path, methods in api["paths"].items():
        assert f"GET {path}" in page
        for word in methods["get"].get("parameters", []):
            assert f"<code>{word['name']}</code>" in page
    assert "422" not in api["paths"]["/api/v1/metrics/{name}/query"]["get"]["responses"]
    for name in api["components"]["schemas"]:
        assert f'<h2 id="{name}">' in page or "properties" not in api["components"]["schemas"][name]


async def test_an_answer_with_too_many_rows_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_rows=2) as served:
        assert (400, True) == tuple_of(
            await served.problem(f"{QUERY}?by=city"), "the answer has more than 2 rows"
        )
        assert 2 == len(await served.rows(by="city", limit="2", order="n desc"))
        assert 2 == len(await served.rows())


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Answers by city compute until this is set."""
    go, answer = threading.Event(), Question.answer

    async def slow(self: Question, *arguments: Any) -> Any:
        if "city" in self.schema.names:
            go.wait(20)
        return await answer(self, *arguments)

    monkeypatch.setattr(Question, "answer", slow)
    yield go
    go.set()


async def test_a_slow_answer_holds_up_no_other(tmp_path: Path, held: threading.Event) -> None:
    async with serving(tmp_path, web_max_queries=2) as served:
        slow = asyncio.create_task(served.rows(by="city"))
        assert 2 == len(await served.rows())
        assert 200 == (await served.get("/health/ready")).status_code
        assert not slow.done()
        held.set()
        assert 3 == len(await slow)


async def test_a_query_that_takes_too_long_is_given_up_and_so_are_those_who_wait_for_it(
    tmp_path: Path, held: threading.Event
) -> None:
    async with serving(tmp_path, web_max_queries=1, web_timeout_s=1.5) as served:
        slow = asyncio.create_task(served.get(f"{QUERY}?by=city"))
        for _ in range(1_000):  # until the only thread has it
            if served.app.state.desk.answers.readers._idle.empty():
                break
            await asyncio.sleep(0.01)
        waiting = await served.get(f"{QUERY}?every=all")
        late = await slow
        assert (503, "2") == (late.status_code, late.headers["retry-after"])
        assert "took longer than 1.5 s" in late.json()["detail"]
        assert 503 == waiting.status_code
        assert "1 others are being answered" in waiting.json()["detail"]
        held.set()
        for _ in range(50):  # the thread is free when its answer is done
            if 200 == (again := await served.get(QUERY)).status_code:
                break
        assert 200 == again.status_code


async def test_who_asks_the_same_shares_one_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = Answers._make

    async def counted(self: Answers, *arguments: Any) -> bytes:
        made.append(1)
        return await make(self, *arguments)

    monkeypatch.setattr(Answers, "_make", counted)
    bodies = await asyncio.gather(*[served.get(f"{QUERY}?by=line") for _ in range(20)])
    assert 1 == len({body.content for body in bodies})
    assert 1 == len(made)


async def test_a_bug_is_logged_and_shows_nothing_of_itself(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_arguments: Any) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Question, "answer", broken)
    status, said = await served.problem(QUERY)
    assert (500, True) == (status, "something is wrong with fastdata itself" in said)
    assert "hunter2" not in said
    assert "RuntimeError: hunter2" in caplog.text
    assert "content-security-policy" in (await served.get(QUERY)).headers


@pytest.mark.parametrize(
    ("method", "path", "host", "status", "said"),
    [
        ("GET", "/nothing", "localhost", 404, "there is nothing at this address"),
        ("GET", "/metrics/ride", "localhost", 404, "did you mean &#39;rides&#39;?"),
        ("GET", "/dead-letters?before=x", "localhost", 400, "before: String should match"),
        ("PUT", "/quality", "localhost", 405, "ask with GET"),
        ("GET", "/quality", "example.org", 421, "set FASTDATA_WEB_TOKEN"),
    ],
)
async def test_a_person_is_told_on_a_page(
    served: Served, method: str, path: str, host: str, status: int, said: str
) -> None:
    response = await served.client.request(method, path, headers={"Host": host})
    assert (status, "text/html; charset=utf-8") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert said in response.text
    assert f"<h1>{status}: " in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_a_page_with_a_bug_is_a_page_too(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_arguments: Any) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Question, "answer", broken)
    response = await served.get("/metrics/rides")
    assert (500, True) == (response.status_code, "<h1>500: " in response.text)
    assert "the server&#39;s log has the details" in response.text
    assert "hunter2" not in response.text
    assert "RuntimeError: hunter2" in caplog.text


FORM = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\ntoken="


@pytest.mark.parametrize(("sent", "status"), [(b"s", b"408"), (b"s" * 5_000, b"413")])
async def test_a_form_that_never_ends_holds_no_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(login, "_MOST_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.client.base_url.port)
    writer.write(FORM + sent)
    async with asyncio.timeout(20):
        said = await reader.read()  # to the end: the server closes the connection
    assert said.startswith(b"HTTP/1.1 " + status)
    writer.close()
    await writer.wait_closed()


async def test_who_hangs_up_within_a_form_is_no_bug(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.client.base_url.port)
    writer.write(FORM)
    await writer.drain()
    assert 200 == (await served.get("/health/live")).status_code
    writer.close()
    await writer.wait_closed()
    assert 200 == (await served.get("/health/live")).status_code
    assert "" == caplog.text


async def test_a_reader_that_hangs_up_leaves_nothing_behind(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.client.base_url.port)
    writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"event: open")
    changes = served.app.state.desk.changes
    assert 1 == len(changes._listeners)
    writer.close()
    deadline = time.monotonic() + 10
    while changes._listeners and time.monotonic() < deadline:
        await served.get("/health/live")
    assert not changes._listeners


def test_a_problem_shows_no_secret_of_a_url() -> None:
    for path in ("/api/v1/metrics", "/metrics/rides"):
        body = problem({"path": path}, 503, "cannot read postgresql://me:hunter2@db/x").body
        assert b"cannot read" in bytes(body)
        assert b"hunter2" not in bytes(body)
