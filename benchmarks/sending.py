"""Sends events at a rate, in a process of its own: python -m benchmarks.sending JSON.

The first argument has the broker, the topic, a file of messages, the rate and how long. Each 5 ms
it sends what is due, and notes when; at the end it prints the notes, [clock, sent so far].
"""

import base64
import json
import sys
import time
from collections.abc import Iterable
from itertools import cycle
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


def send(given: dict[str, Any]) -> list[tuple[float, int]]:
    """Send for so many seconds; when each tick began, and how many were sent at its end."""
    lines = Path(given["messages"]).read_text().splitlines()
    messages = cycle([read(line) for line in lines])
    producer = Producer({"bootstrap.servers": given["servers"], "linger.ms": 5})
    topic, rate, seconds = given["topic"], given["rate"], given["seconds"]
    sent, notes = 0, []
    began = time.time()
    while (now := time.time()) < began + seconds:
        due = int((now - began) * rate)
        for _ in range(due - sent):
            key, at, value = next(messages)
            producer.produce(topic, value, key, timestamp=at)
        sent = due
        notes.append((now, sent))
        producer.poll(0)
        time.sleep(max(0.0, now + TICK_S - time.time()))
    producer.flush(30)
    return notes


if __name__ == "__main__":
    print(json.dumps(send(json.loads(sys.argv[1]))))
