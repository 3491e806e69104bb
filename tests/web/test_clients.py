"""What clients do besides asking: who hangs up holds nothing, who asks for a head gets it."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fastdata.answer.query import Question
from tests.web.serving import QUERY, Served, serving

PAGE = "/metrics/rides?from=2013-01-01T12:00&to=2013-01-01T14:00"
SLOW = f"{QUERY}?by=city"


class Slow:
    """Answers by city never come; each waits or computes until it is told to end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.ended = 0
        answer = Question.answer

        async def slow(question: Question, store: Any, watched: Callable[..., Any] = iter) -> Any:
            if "city" not in question.schema.names:
                return await answer(question, store, watched)
            self.begun += 1
            try:
                await self.work(watched)
            finally:
                self.ended += 1

        monkeypatch.setattr(Question, "answer", slow)

    async def work(self, watched: Callable[[Iterable[object]], Iterable[object]]) -> None:
        while True:
            list(watched([None]))
            time.sleep(0.001)  # noqa: ASYNC251  (as if it computed)


class Waiting(Slow):
    async def work(self, watched: object) -> None:
        await asyncio.sleep(600)


async def ask(served: Served, path: str) -> asyncio.StreamWriter:
    """A socket over which something is asked, and nothing is read."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.client.base_url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  (what is waited for tells nobody)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", [Slow, Waiting])
@pytest.mark.parametrize("path", [SLOW, f"{PAGE}&by=city"])
async def test_a_client_that_hangs_up_gives_its_slot_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: type[Slow]
) -> None:
    slow = kind(monkeypatch)
    async with serving(tmp_path, web_max_queries=1, web_timeout_s=600) as served:
        writer = await ask(served, path)
        await until(lambda: slow.begun == 1)
        await hang_up(writer)
        await until(lambda: slow.ended == 1)
        assert 2 == len(await served.rows())


async def test_an_answer_goes_on_while_one_of_its_clients_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    async with serving(tmp_path, web_timeout_s=600) as served:
        first, second = await ask(served, SLOW), await ask(served, SLOW)
        waiting = served.app.state.desk.answers._bodies._waiting
        await until(lambda: [2] == list(waiting.values()) and slow.begun == 1)
        await hang_up(first)
        await until(lambda: [1] == list(waiting.values()))
        assert (1, 0) == (slow.begun, slow.ended)
        await hang_up(second)
        await until(lambda: slow.ended == 1)
        assert not waiting


async def test_who_asks_the_same_after_all_have_hung_up_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, web_timeout_s=600) as served:
        with monkeypatch.context() as patch:
            slow = Slow(patch)
            writer = await ask(served, SLOW)
            await until(lambda: slow.begun == 1)
        await hang_up(writer)
        assert 3 == len(await served.rows(by="city"))


@pytest.mark.parametrize("path", [QUERY, PAGE, "/api/v1/stream", "/health/ready", "/", "/nothing"])
async def test_head_is_get_without_a_body(served: Served, path: str) -> None:
    async with asyncio.timeout(20):
        head = await served.client.head(path)
    async with served.client.stream("GET", path) as get:
        pass
    assert (get.status_code, b"") == (head.status_code, head.content)
    changing = {"date", "content-length", "etag"}
    assert headers_but(get.headers, changing) == headers_but(head.headers, changing)


def headers_but(headers: Any, names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}
