"""Sends events at a rate, in a process of its own: python -m benchmarks.sending JSON.

The first argument has the broker, the topic, a file of messages, the rate and how long, and
`is_dated` where the time of an event shall be when it is sent. Each 5 ms it sends what is due, and
prints a note, [clock, sent so far].
"""

import base64
import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

TICK_S = 0.005


def write(file: Path, messages: Iterable[tuple[str, int, bytes, int]]) -> None:
    """Write messages to a file; their partition will be that of the key."""
    lines = (f"{key} {at} {base64.b64encode(value).decode()}\n" for key, at, value, _ in messages)
    file.write_text("".join(lines))


def read(line: str) -> tuple[str, int, bytes]:
    """Key, time and value of a message."""
    key, at, value = line.split(" ")
    return key, int(at), base64.b64decode(value)


def varint(number: int) -> bytes:
    """A long of Avro."""
    left, found = number << 1, bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes((*found, left))


def halves(at: int, value: bytes) -> tuple[bytes, bytes]:
    """What comes before the time in a value, and after it.

    Raises:
        ValueError: It is not in it once.
    """
    before, *more = value.split(varint(at))
    (after,) = more
    return before, after


def send(given: dict[str, Any]) -> Iterator[tuple[float, int]]:
    """Send for so many seconds; when each tick began, and how many were sent at its end."""
    lines = Path(given["messages"]).read_text().splitlines()
    read_all = [read(line) for line in lines]
    messages = cycle([(key, at, value, *halves(at, value)) for key, at, value in read_all])
    # A slow broker gets a batch again, and must not take it twice.
    config = {"bootstrap.servers": given["servers"], "enable.idempotence": True}
    producer = Producer({**config, "linger.ms": 5})
    topic, rate, seconds = given["topic"], given["rate"], given["seconds"]
    is_dated, sent = given.get("is_dated", False), 0
    began = time.time()
    while (now := time.time()) < began + seconds:
        due, date = int((now - began) * rate), int(now * 1_000)
        dated = varint(date)
        for key, at, value, before, after in islice(messages, due - sent):
            if is_dated:
                at, value = date, before + dated + after  # noqa: PLW2901
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=at)
                    break
                except BufferError:  # the broker has no time
                    producer.poll(0.1)
        sent = due
        yield now, sent
        producer.poll(0)
        time.sleep(max(0.0, now + TICK_S - time.time()))
    while producer.flush(30):
        pass


if __name__ == "__main__":
    for note in send(json.loads(sys.argv[1])):
        print(json.dumps(note), flush=True)
