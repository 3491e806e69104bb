"""A loop by hand on confluent-kafka: reads the topic to its end; nothing survives its own."""

import json
from pathlib import Path

from confluent_kafka import Consumer
from folding import FOLDS, counts
from given import decode, finish, given

fold = FOLDS[given["fold"]]
settings = {
    "bootstrap.servers": given["servers"],
    "group.id": given["group"],
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
}
consumer = Consumer(settings)
consumer.subscribe([given["topic"]])
seen = 0
while seen < given["events"]:
    for message in consumer.consume(2_000, 0.1):
        fold(decode(message.value()))
        seen += 1
finish()
Path(given["counts"]).write_text(json.dumps(counts()))
