"""Events that are posted to a server, which may be away, slow or unwilling."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from fastdata import Alert, Metric
from fastdata.alerts.delivery import post
from fastdata.errors import DeliveryError
from fastdata.store.memory import MemoryStore
from tests.alerts.shop import MINUTE_MS, Shop, state_of


class Receiver:
    """A server on a port of its own that may be stopped and started again.

    Attributes:
        codes: What it answers, one after another, and then 204.
        posted: Path and body of each POST.
    """

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/T00/s3cret?key=s3cret"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert "application/json" == self.headers["Content-Type"]
                receiver.posted.append((self.path, json.loads(body)))
                code = receiver.codes.pop(0) if receiver.codes else 204
                if code == 0:
                    return  # hangs up without a word
                self.send_response(code)
                self.send_header("Location", receiver.url)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


def shop(metric: Metric, receiver: Receiver) -> Shop:
    alert = Alert(
        "failures", metric, when="failed / orders > 0.2", every="1m", wait="0s", to=receiver.url,
        by="shop",
    )  # fmt: skip
    here = Shop(metric, MemoryStore(), alert)
    here.begin(post)
    return here


async def test_an_event_is_posted_as_json_that_says_all_of_it(
    metric: Metric, receiver: Receiver
) -> None:
    here = shop(metric, receiver)
    await here.minute(10, 5)

    ((path, body),) = receiver.posted
    assert "/hooks/T00/s3cret?key=s3cret" == path
    assert len(body.pop("id")) == 16
    assert {
        "event": "opened",
        "alert": "failures",
        "metric": "orders",
        "when": "failed / orders > 0.2",
        "dimensions": {"shop": "north"},
        "start": "2024-02-29T12:00:00Z",
        "end": "2024-02-29T12:01:00Z",
        "at": "2024-02-29T12:01:00Z",
        "measures": {
            "failed": {"value": 5, "lower": 5, "upper": 5},
            "orders": {"value": 10, "lower": 10, "upper": 10},
        },
        "text": "failures, shop north: opened, 2024-02-29 12:00 to 2024-02-29 12:01 UTC "
        "(failed / orders > 0.2; failed 5; orders 10)",
    } == {name: value for name, value in body.items() if name != "opened"}
    assert [] == (await state_of(here.store, here.alert)).unsent


async def test_a_server_that_was_away_for_ten_minutes_gets_it_when_it_is_back(
    metric: Metric, receiver: Receiver
) -> None:
    here = shop(metric, receiver)
    receiver.stop()
    await here.minute(10, 5)
    for second in range(600):
        here.now += 1_000
        if second % 10 == 0:
            await here.watch.turn(here.store)
    assert [] == receiver.posted

    receiver.start()
    back = here.now
    while not receiver.posted:
        here.now += 10_000
        await here.watch.turn(here.store)

    assert ["opened"] == [body["event"] for _, body in receiver.posted]
    assert here.now - back <= MINUTE_MS
    assert [] == (await state_of(here.store, here.alert)).unsent


@pytest.mark.parametrize("code", [0, 302, 307, 429, 500, 503])
async def test_what_is_not_answered_well_is_posted_again(
    metric: Metric, receiver: Receiver, code: int
) -> None:
    here = shop(metric, receiver)
    receiver.codes = [code]
    await here.minute(10, 5)
    here.now += 10_000

    await here.watch.turn(here.store)

    first, second = receiver.posted
    assert first == second
    assert [] == (await state_of(here.store, here.alert)).unsent


@pytest.mark.parametrize(("code", "is_refused"), [(400, True), (404, True), (408, False)])
async def test_what_is_wrong_with_one_event_is_told_from_a_server_that_cannot(
    metric: Metric, receiver: Receiver, code: int, is_refused: bool
) -> None:
    here = shop(metric, receiver)
    receiver.codes = [code]
    await here.fold(10, 5)
    await here.pass_(1)

    (error,) = (await here.watch.turn(here.store)).errors

    assert isinstance(error, DeliveryError)
    assert is_refused is error.is_refused


async def test_no_message_shows_more_of_an_address_than_its_host(
    metric: Metric, receiver: Receiver
) -> None:
    here = shop(metric, receiver)
    receiver.codes = [500, 400, 0]
    await here.fold(10, 5)
    await here.pass_(1)
    said = []
    for _ in range(4):
        said += [str(error) for error in (await here.watch.turn(here.store)).errors]
        here.now += MINUTE_MS
        if len(said) == 3:
            receiver.stop()
            receiver.codes = []
            await here.fold(10, 0)

    assert said[:2] == [
        "127.0.0.1 answered 500 to an event of alert 'failures'",
        "127.0.0.1 answered 400 to an event of alert 'failures'",
    ]
    assert len(said) == 4
    assert not [text for text in said if "s3cret" in text]
    receiver.start()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/ü/s3cret", "https://127.0.0.1:1/a b/s3cret"])
async def test_an_address_that_cannot_be_asked_is_an_error_and_no_more(
    metric: Metric, receiver: Receiver, url: str
) -> None:
    here = shop(metric, receiver)
    await here.minute(10, 5)
    (event,) = (await state_of(here.store, here.alert)).events

    with pytest.raises(DeliveryError) as error:
        await post(url, event)

    assert "s3cret" not in str(error.value)
